import type { Writable } from 'node:stream'

/** What is gathered for one stream before it is written anyway, in bytes. */
const MOST = 16_384

let corked: Writable[] = []
let works: (() => void)[] = []
let scheduled = false

/**
 * Runs `work` once this turn of the event loop has handled all that came in, and before what is held back goes out. What it writes goes
 * out with that: with an immediate of its own it would be one turn later, and a look at the sockets in between.
 */
export function atEndOfTurn(work: () => void): void {
  works.push(work)
  schedule()
}

/**
 * Holds back what is written to a stream from now on until this turn of the event loop has handled all that came in: then it
 * goes out in one system call, which costs more than most of what leads to it. To be called before each write.
 */
export function corkForTurn(stream: Writable): void {
  if (stream.writableCorked > 0) return
  schedule()
  corked.push(stream)
  stream.cork()
}

/** Lets much go at once: it must not look as if a slow peer held it up. To be called after each write. */
export function uncorkMuch(stream: Writable): void {
  if (stream.writableCorked > 0 && stream.writableLength >= MOST) stream.uncork()
}

function schedule(): void {
  if (scheduled) return
  scheduled = true
  setImmediate(endTurn)
}

function endTurn(): void {
  try {
    // By index: one may add another.
    for (let at = 0; at < works.length; at++) works[at]?.()
  } finally {
    const streams = corked
    works = []
    corked = []
    scheduled = false
    for (const stream of streams) stream.uncork()
  }
}
