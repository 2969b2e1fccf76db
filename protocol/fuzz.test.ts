import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { encodeBinary } from './binary.ts'
import { ProtocolError } from './errors.ts'
import { FrameDecoder } from './frame-decoder.ts'
import type { Frame } from './frames.ts'
import { decodeJson, encodeJson } from './json.ts'
import { frameSpecs } from './schema.ts'
import { framesOf } from './test-frames.ts'
import { measureMemory } from './test-memory.ts'

const BINARY_ROUNDS = 1_000_000
const JSON_ROUNDS = 100_000
const FRAMES_OF_EACH_TYPE = 20
const MAX_FRAME_BYTES = 65_536
/** Room for what the engine compiles meanwhile; a leak of one small object a round takes several times that. */
const GROWTH_ALLOWED = 8_000_000

type Random = (below: number) => number

/** mulberry32: small, fast, and the same sequence everywhere for a seed. */
function buildRandom(seed: number): Random {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((((mixed ^ (mixed >>> 14)) >>> 0) * below) / 2 ** 32) | 0
  }
}

/** A seed that shows in the output of the test; FUZZ_SEED repeats a run. */
function chooseSeed(t: TestContext): number {
  const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 32))
  t.diagnostic(`FUZZ_SEED=${seed}`)
  return seed
}

function buildCorpus<Encoded>(seed: number, encode: (frame: Frame) => Encoded): Encoded[] {
  return frameSpecs.flatMap((spec) => fc.sample(framesOf(spec), { seed, numRuns: FRAMES_OF_EACH_TYPE }).map(encode))
}

function pickFrom<Item>(items: readonly Item[], random: Random): Item {
  const item = items[random(items.length)]
  assert.ok(item !== undefined)
  return item
}

function flipBits(bytes: Uint8Array, random: Random): Uint8Array {
  for (let count = 1 + random(4); count > 0; count -= 1) {
    const at = random(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8))
  }
  return bytes
}

/** Sets a length or count, or whatever is there, to a value at the edge. */
function editLength(bytes: Uint8Array, random: Random): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const edge = pickFrom([0, 1, 2, 5, 0x7f, 0xffff, 0x7fff_ffff, 0xffff_ffff, bytes.length, bytes.length - 4], random)
  const at = random(2) === 0 ? 0 : random(bytes.length - 3)
  if (random(2) === 0) view.setUint32(at, edge)
  else view.setUint16(at, edge)
  return bytes
}

/** Makes the length true again, so that the damage behind it is read. */
function repairLength(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= 4) new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).setUint32(0, bytes.length - 4)
  return bytes
}

function splice(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const head = bytes.subarray(0, random(bytes.length + 1))
  const tail = other.subarray(random(other.length + 1))
  const spliced = new Uint8Array(head.length + tail.length)
  spliced.set(head)
  spliced.set(tail, head.length)
  return spliced
}

function mutate(original: Uint8Array, corpus: readonly Uint8Array[], random: Random): Uint8Array {
  let bytes: Uint8Array = original.slice()
  for (let count = 1 + random(3); count > 0 && bytes.length >= 4; count -= 1) {
    switch (random(4)) {
      case 0:
        bytes = flipBits(bytes, random)
        break
      case 1:
        bytes = editLength(bytes, random)
        break
      case 2:
        bytes = bytes.slice(0, random(bytes.length + 1))
        break
      default:
        bytes = splice(bytes, pickFrom(corpus, random), random)
    }
  }
  return random(2) === 0 ? repairLength(bytes) : bytes
}

class Tally {
  readonly counts: Record<string, number> = {}

  add(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1
  }

  /** Counts what a decoder threw; anything but a ProtocolError is a defect. */
  addError(error: unknown, describe: () => string): void {
    if (!(error instanceof ProtocolError)) throw new Error(`not a ProtocolError, from ${describe()}`, { cause: error })
    this.add(error.code)
  }

  assertSeen(names: readonly string[]): void {
    for (const name of names) assert.ok((this.counts[name] ?? 0) > 0, `${name} was never reached`)
  }
}

/** Runs `round` so often, and checks that memory after it all is what it was after the first tenth. */
function runRounds(t: TestContext, rounds: number, round: () => void): void {
  const warm = rounds / 10
  for (let count = 0; count < warm; count += 1) round()
  const early = measureMemory()
  for (let count = warm; count < rounds; count += 1) round()
  const growth = measureMemory() - early
  t.diagnostic(`${rounds} rounds, memory grew by ${growth} bytes after the first tenth`)
  assert.ok(growth < GROWTH_ALLOWED, `memory grew by ${growth} bytes`)
}

test('a million mutated frames make the decoder throw nothing but ProtocolErrors, and hold nothing', (t) => {
  const seed = chooseSeed(t)
  const random = buildRandom(seed)
  const corpus = buildCorpus(seed, encodeBinary)
  const tally = new Tally()
  // Like a connection: one decoder for frame after frame, until it fails or starves.
  let decoder = new FrameDecoder(MAX_FRAME_BYTES)

  runRounds(t, BINARY_ROUNDS, () => {
    const bytes = mutate(pickFrom(corpus, random), corpus, random)
    const cut = random(bytes.length + 1)
    try {
      for (const chunk of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        decoder.push(chunk)
        for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
          tally.add('decoded')
          encodeBinary(frame)
        }
      }
      assert.ok(decoder.buffered <= 4 + MAX_FRAME_BYTES, 'more than a frame is held')
      if (decoder.midFrame) tally.add('unfinished')
      if (random(8) === 0) decoder = new FrameDecoder(MAX_FRAME_BYTES)
    } catch (error) {
      tally.addError(error, () => Buffer.from(bytes).toString('hex'))
      decoder = new FrameDecoder(MAX_FRAME_BYTES)
    }
  })

  t.diagnostic(JSON.stringify(tally.counts))
  tally.assertSeen(['decoded', 'unfinished', 'frame_malformed', 'frame_too_large', 'frame_type_unknown'])
  tally.assertSeen(['version_unsupported', 'utf8_malformed'])
})

test('mutated JSON makes the decoder throw nothing but ProtocolErrors, and hold nothing', (t) => {
  const seed = chooseSeed(t)
  const random = buildRandom(seed)
  const corpus = buildCorpus(seed, encodeJson)
  const words = ['null', '-1', '1e999', '0.5', '[]', '{}', '""', '"\\ud800"', '"__proto__"', 'true', '9007199254740992']
  const tally = new Tally()

  runRounds(t, JSON_ROUNDS, () => {
    const original = pickFrom(corpus, random)
    const at = random(original.length + 1)
    const other = pickFrom(corpus, random)
    const value = /(?<=:)(?:"[^"]*"|[\d.]+|true|false)/g
    const text = pickFrom(
      [
        () => original.slice(0, at),
        () => original.slice(0, at) + String.fromCharCode(random(0x1_0000)) + original.slice(at + 1),
        () => original.slice(0, at) + other.slice(random(other.length)),
        () => original.replace(value, (match) => (random(3) === 0 ? pickFrom(words, random) : match)),
        () => original.replace(/"(\w+)":/, () => `"${pickFrom(['__proto__', 'constructor', 'x'], random)}":`),
      ],
      random,
    )()
    try {
      encodeBinary(decodeJson(text))
      tally.add('decoded')
    } catch (error) {
      tally.addError(error, () => JSON.stringify(text))
    }
  })

  t.diagnostic(JSON.stringify(tally.counts))
  tally.assertSeen(['decoded', 'json_malformed', 'frame_malformed', 'frame_type_unknown', 'utf8_malformed'])
})
