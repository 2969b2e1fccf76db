import type { Writable } from 'node:stream'

/** What is gathered for one stream before it is written anyway, in bytes. */
const MOST = 16_384

let corked: Writable[] = []

/**
 * Holds back what is written to a stream from now on until this turn of the event loop has handled all that came in: then it
 * goes out in one system call, which costs more than most of what leads to it. To be called before each write.
 */
export function corkForTurn(stream: Writable): void {
  if (stream.writableCorked > 0) return
  if (corked.length === 0) setImmediate(uncorkAll)
  corked.push(stream)
  stream.cork()
}

/** Lets much go at once: it must not look as if a slow peer held it up. To be called after each write. */
export function uncorkMuch(stream: Writable): void {
  if (stream.writableCorked > 0 && stream.writableLength >= MOST) stream.uncork()
}

function uncorkAll(): void {
  const streams = corked
  corked = []
  for (const stream of streams) stream.uncork()
}
