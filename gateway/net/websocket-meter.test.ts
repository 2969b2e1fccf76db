import assert from 'node:assert/strict'
import { test } from 'node:test'
import { array, assert as check, constantFrom, integer, oneof, property } from 'fast-check'
import { WebSocketMeter } from './websocket-meter.ts'

interface Piece {
  readonly opcode: number
  readonly final: boolean
  readonly payload: number
}

/** A frame as a client sends it: masked, with the shortest form of its length. */
function buildFrame({ opcode, final, payload }: Piece): Buffer {
  const length = payload < 126 ? [payload] : payload < 65_536 ? [126, payload >> 8, payload & 255] : undefined
  const long = length ?? [127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (payload >> shift) & 255)]
  const [first = 0, ...rest] = long
  return Buffer.concat([
    Buffer.from([(final ? 128 : 0) | opcode, 128 | first, ...rest, 1, 2, 3, 4]),
    Buffer.alloc(payload),
  ])
}

const message = array(constantFrom(0, 1, 125, 126, 5_000, 65_535, 65_536, 70_000), { minLength: 1, maxLength: 3 }).map(
  (parts): Piece[] =>
    parts.map((payload, index) => ({ opcode: index === 0 ? 2 : 0, final: index === parts.length - 1, payload })),
)
const ping = integer({ min: 0, max: 125 }).map((payload): Piece[] => [{ opcode: 9, final: true, payload }])

test('however messages are cut, nothing is held at the end of each, and all of the current one before', () => {
  check(
    property(array(oneof(message, ping), { maxLength: 6 }), integer({ min: 1, max: 70_000 }), (all, size) => {
      const meter = new WebSocketMeter()
      for (const pieces of all) {
        let held = 0
        for (const piece of pieces) {
          const bytes = buildFrame(piece)
          for (let at = 0; at < bytes.length; at += size) {
            const chunk = bytes.subarray(at, at + size)
            meter.push(chunk)
            const left = bytes.length - at - chunk.length
            // Within the header its length is not known.
            if (left < piece.payload) assert.equal(meter.missing, left)
          }
          if (piece.opcode < 8) held = piece.final ? 0 : held + piece.payload
          assert.equal(meter.held, held)
        }
      }
    }),
    { numRuns: 200 },
  )
})

test('a control frame between the parts of a message changes nothing', () => {
  const meter = new WebSocketMeter()
  meter.push(buildFrame({ opcode: 1, final: false, payload: 300 }))
  meter.push(buildFrame({ opcode: 9, final: true, payload: 5 }))
  assert.equal(meter.held, 300)
  meter.push(buildFrame({ opcode: 0, final: true, payload: 0 }))
  assert.equal(meter.held, 0)
})
