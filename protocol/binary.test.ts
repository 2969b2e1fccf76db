import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodeBinary } from './binary.ts'
import type { CodeName } from './codes.ts'
import { ProtocolError } from './errors.ts'
import { decodeBinary } from './frame-decoder.ts'
import type { Frame, FrameOf } from './frames.ts'
import { frameFrom, frameSpecs } from './schema.ts'
import { framesOf } from './test-frames.ts'

const ack: FrameOf<'ack'> = { type: 'ack', stream: 'inbox', epoch: 'e', seq: 1 }
const send: FrameOf<'send'> = {
  type: 'send',
  requestId: 1,
  messageId: 'm',
  to: 'bob',
  durable: true,
  payload: new Uint8Array([1, 2]),
}

/** A frame of the given type id around a body in hex. */
function wrap(typeId: number, body: string): Uint8Array {
  const bytes = Uint8Array.from(Buffer.from(body.replaceAll(' ', ''), 'hex'))
  const frame = new Uint8Array(6 + bytes.length)
  new DataView(frame.buffer).setUint32(0, 2 + bytes.length)
  frame.set([1, typeId], 4)
  frame.set(bytes, 6)
  return frame
}

function refuses(bytes: Uint8Array, code: CodeName, message?: RegExp): void {
  assert.throws(
    () => decodeBinary(bytes),
    (error) => {
      assert.ok(error instanceof ProtocolError)
      assert.equal(error.code, code)
      if (message) assert.match(error.message, message)
      return true
    },
  )
}

for (const spec of frameSpecs) {
  test(`a ${spec.type} frame comes back as it was encoded`, () => {
    fc.assert(fc.property(framesOf(spec), (frame) => assert.deepEqual(decodeBinary(encodeBinary(frame)), frame)))
  })
}

test('the bytes of a frame are those of the specification', () => {
  assert.deepEqual(encodeBinary(send), wrap(0x04, '00000001 00016d 0003626f62 01 00000002 0102'))
  assert.deepEqual(encodeBinary({ type: 'ping' }), Uint8Array.of(0, 0, 0, 2, 1, 0x10))
})

test('an encoded frame is not changed by the next one', () => {
  const first = encodeBinary(ack)
  const before = first.slice()
  encodeBinary({ ...ack, seq: 99 })
  assert.deepEqual(first, before)
})

test('frames far larger than the buffer of the encoder come back, and small ones after them', () => {
  for (const size of [16_000, 16_384, 100_000, 3_000_000, 10]) {
    const frame = { ...send, payload: new Uint8Array(size).fill(7) }
    assert.deepEqual(decodeBinary(encodeBinary(frame)), frame)
  }
  const many = { type: 'presence', requestId: 1, userIds: Array.from({ length: 3000 }, (_, n) => `user-${n}`) } as const
  assert.deepEqual(decodeBinary(encodeBinary(many)), many)
})

test('a value that does not fit is refused by the name of its field, and the encoder goes on working', () => {
  const state = { type: 'presenceState', requestId: 1 }
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ ...send, requestId: -1 }, /^send\.requestId must be an integer from 0 to 4294967295$/],
    [{ ...send, requestId: 2 ** 32 }, /send\.requestId/],
    [{ ...send, requestId: 1.5 }, /send\.requestId/],
    [{ ...ack, seq: 2 ** 53 }, /ack\.seq/],
    [{ ...ack, seq: '1' }, /ack\.seq/],
    [{ ...send, to: 'a'.repeat(65_536) }, /send\.to must have at most 65535 bytes/],
    [{ ...send, to: 'é'.repeat(32_768) }, /send\.to must have at most 65535 bytes/],
    [{ ...send, to: '\ud800' }, /send\.to holds half a surrogate pair/],
    [{ ...send, to: undefined }, /send\.to/],
    [{ ...send, durable: 1 }, /send\.durable/],
    [{ ...send, payload: 'text' }, /send\.payload/],
    [{ type: 'notice', event: 'moved', clientType: 1, imei: 'x' }, /notice\.event must be one of: joined, left/],
    [{ type: 'notice', event: 'left', clientType: 256, imei: 'x' }, /notice\.clientType/],
    [{ type: 'presence', requestId: 1, userIds: 'bob' }, /presence\.userIds/],
    [{ type: 'presence', requestId: 1, userIds: ['bob', 1] }, /presence\.userIds\[\]/],
    [{ type: 'presence', requestId: 1, userIds: Array.from({ length: 65_536 }, () => '') }, /presence\.userIds/],
    [{ ...state, users: [null] }, /presenceState\.users\[\] must be an object/],
    [{ ...state, users: [{ userId: 'bob', clientTypes: [300] }] }, /presenceState\.users\[\]\.clientTypes\[\]/],
    [{ type: 'constructor' }, /unknown type/],
  ]
  for (const [values, message] of cases) {
    assert.throws(() => encodeBinary(frameFrom(values)), { name: 'RangeError', message })
    assert.deepEqual(decodeBinary(encodeBinary(ack)), ack)
  }
})

test('the longest string and the largest u64 pass', () => {
  const frame = { type: 'ack', stream: 'é'.repeat(32_767) + 'a', epoch: '', seq: Number.MAX_SAFE_INTEGER } as const
  assert.deepEqual(decodeBinary(encodeBinary(frame)), frame)
})

test('a u64 above 2^53 - 1 is malformed', () => {
  assert.deepEqual(decodeBinary(wrap(0x05, '0000 0000 001fffffffffffff')), {
    type: 'ack',
    stream: '',
    epoch: '',
    seq: 2 ** 53 - 1,
  })
  refuses(wrap(0x05, '0000 0000 0020000000000000'), 'frame_malformed', /ack\.seq/)
  refuses(wrap(0x05, '0000 0000 ffffffffffffffff'), 'frame_malformed', /ack\.seq/)
})

test('fields with defaults may be missing at the end of a body', () => {
  const login = { type: 'login', requestId: 1, token: 't', clientType: 1, imei: 'i', version: '' }
  const rest = { epoch: '', seq: 0, start: 'earliest' }
  assert.deepEqual(decodeBinary(wrap(0x01, '00000001 000174 01 000169')), { ...login, ...rest })
  assert.deepEqual(decodeBinary(wrap(0x01, '00000001 000174 01 000169 0000 000165')), { ...login, ...rest, epoch: 'e' })
  assert.deepEqual(decodeBinary(wrap(0x03, '')), { type: 'logout', requestId: 0 })
})

test('a body that ends within a field, or before one without a default, is malformed', () => {
  refuses(wrap(0x01, ''), 'frame_malformed', /login\.token/)
  refuses(wrap(0x01, '00000001 000174 01'), 'frame_malformed', /login\.imei/)
  refuses(wrap(0x01, '00000001 000174 01 000169 0000 0001'), 'frame_malformed', /login\.epoch/)
  for (const frame of [send, ack, { type: 'renewed', requestId: 1, expiresAt: 5 }] satisfies Frame[]) {
    const whole = encodeBinary(frame)
    for (let length = 6; length < whole.length; length += 1) {
      const cut = whole.slice(0, length)
      new DataView(cut.buffer).setUint32(0, length - 4)
      refuses(cut, 'frame_malformed')
    }
  }
})

test('bytes behind the last field are ignored', () => {
  assert.deepEqual(decodeBinary(wrap(0x05, '0000 0000 0000000000000001 deadbeef')), {
    type: 'ack',
    stream: '',
    epoch: '',
    seq: 1,
  })
  assert.deepEqual(decodeBinary(wrap(0x10, '00')), { type: 'ping' })
})

test('a bool other than 0 and 1 and an enum index out of range are malformed', () => {
  refuses(wrap(0x04, '00000000 0000 0000 02 00000000'), 'frame_malformed', /send\.durable/)
  refuses(wrap(0x49, '02 01 0000'), 'frame_malformed', /notice\.event/)
})

test('invalid UTF-8 has its own code', () => {
  for (const bad of ['ff', '80', 'c080', 'eda080', 'f4908080', 'e282']) {
    refuses(wrap(0x05, `000${bad.length / 2}${bad} 0000000000000001`), 'utf8_malformed', /ack\.stream/)
  }
})

test('a byte order mark and a zero byte belong to the string', () => {
  const frame = { ...ack, stream: '\ufeffa\0' }
  assert.deepEqual(decodeBinary(encodeBinary(frame)), frame)
})

test('a large count of items without items is malformed', () => {
  refuses(wrap(0x06, '00000000 ffff'), 'frame_malformed', /presence\.userIds/)
  refuses(wrap(0x46, '00000000 ffff 0000 ffff'), 'frame_malformed', /presenceState\.users\[\]\.clientTypes/)
})

test('decodeBinary takes exactly one whole frame', () => {
  const whole = encodeBinary(ack)
  refuses(whole.subarray(0, -1), 'frame_malformed')
  refuses(Uint8Array.from([...whole, ...whole]), 'frame_malformed')
  refuses(new Uint8Array(0), 'frame_malformed')
})
