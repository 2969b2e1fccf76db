import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodeBinary } from './binary.ts'
import type { CodeName } from './codes.ts'
import { FrameDecoder } from './frame-decoder.ts'
import type { Frame, FrameOf } from './frames.ts'
import { anyFrame } from './test-frames.ts'
import { measureMemory } from './test-memory.ts'

const MAX = 1_000_000
const send: FrameOf<'send'> = {
  type: 'send',
  requestId: 1,
  messageId: 'm',
  to: 'bob',
  durable: true,
  payload: new Uint8Array(1000).fill(7),
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(chunks.flatMap((chunk) => [...chunk]))
}

function takeAll(decoder: FrameDecoder): Frame[] {
  const frames: Frame[] = []
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame)
  return frames
}

function header(length: number, ...rest: number[]): Uint8Array {
  const bytes = new Uint8Array(4 + rest.length)
  new DataView(bytes.buffer).setUint32(0, length)
  bytes.set(rest, 4)
  return bytes
}

function failsWith(decoder: FrameDecoder, code: CodeName): void {
  assert.throws(() => decoder.next(), { name: 'ProtocolError', code })
}

test('any split into chunks gives the same frames', () => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: 8 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 50 })),
      (frames, sizes) => {
        const bytes = concat(frames.map(encodeBinary))
        const decoder = new FrameDecoder(MAX)
        const decoded: Frame[] = []
        let at = 0
        for (const size of sizes) {
          if (at >= bytes.length) break
          decoder.push(bytes.slice(at, at + size))
          decoded.push(...takeAll(decoder))
          at += size
        }
        assert.deepEqual(decoded, frames)
        assert.equal(decoder.buffered, 0)
        assert.equal(decoder.midFrame, false)
      },
    ),
  )
})

test('chunks may be pushed ahead and taken later', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 8 }), fc.integer({ min: 1, max: 50 }), (frames, size) => {
      const bytes = concat(frames.map(encodeBinary))
      const decoder = new FrameDecoder(MAX)
      for (let at = 0; at < bytes.length; at += size) decoder.push(bytes.slice(at, at + size))
      assert.equal(decoder.buffered, bytes.length)
      assert.deepEqual(takeAll(decoder), frames)
    }),
  )
})

test('a frame is given out at its last byte, and midFrame and buffered tell what is held until then', () => {
  const bytes = encodeBinary(send)
  const decoder = new FrameDecoder(MAX)
  assert.equal(decoder.midFrame, false)
  for (const [index, byte] of bytes.entries()) {
    assert.equal(decoder.buffered, index)
    decoder.push(Uint8Array.of(byte))
    if (index === bytes.length - 1) break
    assert.equal(decoder.next(), undefined)
    assert.equal(decoder.midFrame, true)
  }
  assert.deepEqual(decoder.next(), send)
  assert.equal(decoder.midFrame, false)
  assert.equal(decoder.buffered, 0)
})

test('missing tells what is still to come of a frame from when its length is known', () => {
  const bytes = encodeBinary(send)
  const decoder = new FrameDecoder(MAX)
  for (let at = 0; at < bytes.length; at++) {
    assert.equal(decoder.missing, at < 4 ? 0 : bytes.length - at)
    decoder.push(bytes.subarray(at, at + 1))
    if (at < bytes.length - 1) assert.equal(decoder.next(), undefined)
  }
  assert.deepEqual(decoder.next(), send)
  assert.equal(decoder.missing, 0)
})

test('a Buffer gives the same values as a Uint8Array', () => {
  for (const frame of [send, { ...send, payload: Uint8Array.of(1) }]) {
    const decoder = new FrameDecoder(MAX)
    decoder.push(Buffer.from(encodeBinary(frame)))
    assert.deepEqual(decoder.next(), frame)
  }
})

test('a length over the maximum fails at its last byte, before the frame comes', () => {
  const decoder = new FrameDecoder(100)
  decoder.push(Uint8Array.of(0, 0, 0))
  assert.equal(decoder.next(), undefined)
  decoder.push(Uint8Array.of(101))
  failsWith(decoder, 'frame_too_large')

  const atMaximum = new FrameDecoder(100)
  atMaximum.push(header(100))
  assert.equal(atMaximum.next(), undefined)

  const largest = new FrameDecoder(100)
  largest.push(header(0xffff_ffff))
  failsWith(largest, 'frame_too_large')
})

test('the maximum may grow between two frames of one chunk', () => {
  const small = encodeBinary({ type: 'ping' })
  const decoder = new FrameDecoder(small.length)
  decoder.push(concat([small, encodeBinary(send)]))
  assert.deepEqual(decoder.next(), { type: 'ping' })
  decoder.maxFrameBytes = MAX
  assert.deepEqual(decoder.next(), send)
})

test('version and type are refused at their byte, before the rest of the frame', () => {
  const version = new FrameDecoder(MAX)
  version.push(header(1000, 2))
  failsWith(version, 'version_unsupported')

  const type = new FrameDecoder(MAX)
  type.push(header(1000, 1))
  assert.equal(type.next(), undefined)
  type.push(Uint8Array.of(0x7f))
  failsWith(type, 'frame_type_unknown')
})

test('a length without room for version and type is malformed', () => {
  for (const length of [0, 1]) {
    const decoder = new FrameDecoder(MAX)
    decoder.push(header(length))
    failsWith(decoder, 'frame_malformed')
  }
})

test('the start of an HTTP request is refused', () => {
  const decoder = new FrameDecoder(MAX)
  decoder.push(new TextEncoder().encode('GET / HTTP/1.1\r\n'))
  failsWith(decoder, 'frame_too_large')
})

test('after a failure the decoder stays failed, holds nothing and takes nothing', () => {
  const decoder = new FrameDecoder(MAX)
  decoder.push(concat([encodeBinary({ type: 'ping' }), header(2, 9, 9), encodeBinary(send)]))
  assert.deepEqual(decoder.next(), { type: 'ping' })
  decoder.push(encodeBinary(send))
  failsWith(decoder, 'version_unsupported')
  assert.equal(decoder.buffered, 0)
  decoder.push(encodeBinary(send))
  assert.equal(decoder.buffered, 0)
  failsWith(decoder, 'version_unsupported')
})

/** Bytes held by what `build` returns. */
function measureHeld(build: () => unknown): number {
  const before = measureMemory()
  const held = build()
  const bytes = measureMemory() - before
  assert.ok(held)
  return bytes
}

test('an announced length alone takes no memory', () => {
  const held = measureHeld(() =>
    Array.from({ length: 1000 }, () => {
      const decoder = new FrameDecoder(MAX)
      decoder.push(header(MAX, 1, 4, 0))
      assert.equal(decoder.next(), undefined)
      return decoder
    }),
  )
  assert.ok(held < 5_000_000, `1000 decoders hold ${held} bytes`)
})

test('a frame that comes byte by byte is held once, not once a chunk', () => {
  const large = encodeBinary({ ...send, payload: new Uint8Array(300_000) })
  const decoder = new FrameDecoder(MAX)
  const held = measureHeld(() => {
    for (const byte of large.subarray(0, -1)) {
      decoder.push(Uint8Array.of(byte))
      assert.equal(decoder.next(), undefined)
    }
    return decoder
  })
  assert.equal(decoder.buffered, large.length - 1)
  assert.ok(held < 3 * large.length, `a frame of ${large.length} bytes holds ${held}`)
  decoder.push(large.subarray(-1))
  assert.equal(decoder.next()?.type, 'send')
})

test('a decoder that took all frames of its chunks lets go of them', () => {
  const held = measureHeld(() =>
    Array.from({ length: 200 }, () => {
      const decoder = new FrameDecoder(MAX)
      decoder.push(encodeBinary({ ...send, payload: new Uint8Array(100_000) }))
      assert.equal(takeAll(decoder).length, 1)
      return decoder
    }),
  )
  assert.ok(held < 5_000_000, `200 decoders hold ${held} bytes`)
})

test('a failed decoder lets go of everything', () => {
  const held = measureHeld(() =>
    Array.from({ length: 200 }, () => {
      const decoder = new FrameDecoder(MAX)
      decoder.push(header(2, 9, 9))
      decoder.push(new Uint8Array(100_000))
      failsWith(decoder, 'version_unsupported')
      return decoder
    }),
  )
  assert.ok(held < 5_000_000, `200 decoders hold ${held} bytes`)
})

test('a payload stays as it was while later frames come', () => {
  const decoder = new FrameDecoder(MAX)
  const frames = [send, { ...send, payload: new Uint8Array(900).fill(8) }, { ...send, payload: new Uint8Array(5) }]
  const decoded: Frame[] = []
  for (const bytes of frames.map(encodeBinary)) {
    decoder.push(bytes.slice(0, 20))
    decoded.push(...takeAll(decoder))
    decoder.push(bytes.slice(20))
    decoded.push(...takeAll(decoder))
  }
  assert.deepEqual(decoded, frames)
})

test('defaults and skipped bytes end with their frame, not with the chunk', () => {
  const decoder = new FrameDecoder(MAX)
  const logout = Uint8Array.of(0, 0, 0, 2, 1, 0x03)
  const longPing = Uint8Array.of(0, 0, 0, 4, 1, 0x10, 0xff, 0xff)
  decoder.push(concat([logout, longPing, logout, encodeBinary(send)]))
  assert.deepEqual(takeAll(decoder), [
    { type: 'logout', requestId: 0 },
    { type: 'ping' },
    { type: 'logout', requestId: 0 },
    send,
  ])
})

test('a payload that fills most of its chunk is a view of it, a small one is a copy', () => {
  const whole = encodeBinary(send)
  const viewing = new FrameDecoder(MAX)
  viewing.push(whole)
  const viewed = viewing.next()
  assert.ok(viewed?.type === 'send')
  assert.equal(viewed.payload.buffer, whole.buffer)

  const chunk = new Uint8Array(65_536)
  chunk.set(whole)
  const copying = new FrameDecoder(MAX)
  copying.push(chunk.subarray(0, whole.length))
  const copied = copying.next()
  assert.ok(copied?.type === 'send')
  assert.equal(copied.payload.buffer.byteLength, send.payload.length)
})
