import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodeBinary } from './binary.ts'
import type { CodeName } from './codes.ts'
import { ProtocolError } from './errors.ts'
import { decodeBinary } from './frame-decoder.ts'
import type { FrameOf } from './frames.ts'
import { decodeJson, encodeJson } from './json.ts'
import { frameFrom, frameSpecs } from './schema.ts'
import { framesOf } from './test-frames.ts'

const send: FrameOf<'send'> = {
  type: 'send',
  requestId: 1,
  messageId: 'm',
  to: 'bob',
  durable: true,
  payload: new TextEncoder().encode('hello'),
}

function refuses(text: string, code: CodeName, message?: RegExp): void {
  assert.throws(
    () => decodeJson(text),
    (error) => {
      assert.ok(error instanceof ProtocolError)
      assert.equal(error.code, code, text)
      if (message) assert.match(error.message, message)
      return true
    },
  )
}

for (const spec of frameSpecs) {
  test(`a ${spec.type} frame comes back from JSON as it was encoded`, () => {
    fc.assert(
      fc.property(framesOf(spec), (frame) => {
        const decoded = decodeJson(encodeJson(frame))
        assert.deepEqual(decoded, frame)
        assert.deepEqual(decodeBinary(encodeBinary(decoded)), frame)
      }),
    )
  })
}

test('a payload is text when it is valid UTF-8, to the byte, and else base64', () => {
  assert.equal(JSON.parse(encodeJson(send)).payload, 'hello')
  const cases: [number[], object][] = [
    [[], { payload: '' }],
    [[0xef, 0xbb, 0xbf, 0x61], { payload: '\ufeffa' }],
    [[0x00, 0xc3, 0xa9], { payload: '\0é' }],
    [[0xff, 0xfe, 0xfd], { payloadBase64: '//79' }],
    [[0xed, 0xa0, 0x80], { payloadBase64: '7aCA' }],
  ]
  for (const [bytes, expected] of cases) {
    const { payload, payloadBase64 } = JSON.parse(encodeJson({ ...send, payload: Uint8Array.from(bytes) }))
    assert.deepEqual({ ...(payload !== undefined && { payload }), ...(payloadBase64 && { payloadBase64 }) }, expected)
  }
})

test('base64 is accepted for any payload', () => {
  assert.deepEqual(
    decodeJson('{"type":"send","requestId":1,"messageId":"m","to":"bob","payloadBase64":"aGVsbG8="}'),
    send,
  )
  refuses('{"type":"send","to":"bob","payloadBase64":"*"}', 'frame_malformed', /send\.payloadBase64 must be base64/)
  refuses('{"type":"send","to":"bob","payloadBase64":7}', 'frame_malformed', /send\.payloadBase64/)
  refuses('{"type":"send","to":"bob","payload":"","payloadBase64":""}', 'frame_malformed', /exclude each other/)
})

test('defaults stand in for missing fields, wherever they are', () => {
  assert.deepEqual(decodeJson('{"type":"login","token":"t","imei":"i","start":"head"}'), {
    type: 'login',
    requestId: 0,
    token: 't',
    clientType: 1,
    imei: 'i',
    version: '',
    epoch: '',
    seq: 0,
    start: 'head',
  })
})

test('unknown properties are ignored, in records too', () => {
  assert.deepEqual(decodeJson('{"type":"ping","x":{}}'), { type: 'ping' })
  assert.deepEqual(
    decodeJson('{"type":"presenceState","requestId":1,"users":[{"userId":"a","clientTypes":[1],"__proto__":{"x":1}}]}'),
    { type: 'presenceState', requestId: 1, users: [{ userId: 'a', clientTypes: [1] }] },
  )
})

test('text that is not one JSON object is refused, and the error does not quote it', () => {
  for (const text of ['', '{', 'secret', '[]', 'null', '1', '"{}"', '{"type":"ping"}{}', '[{"type":"ping"}]']) {
    refuses(text, 'json_malformed')
  }
  assert.throws(
    () => decodeJson('{"token":"secret'),
    (error) => error instanceof ProtocolError && error.cause === undefined && !error.message.includes('secret'),
  )
})

test('names from the prototype of objects are no frame types and no fields', () => {
  for (const type of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '']) {
    refuses(JSON.stringify({ type }), 'frame_type_unknown')
  }
  refuses('{"__proto__":{"type":"ping"}}', 'frame_malformed', /^type must be a string$/)
  refuses('{"type":"ack","epoch":"","__proto__":{"seq":1}}', 'frame_malformed', /ack\.seq/)
})

test('a value in a polluted prototype is not taken for a field', () => {
  Reflect.defineProperty(Object.prototype, 'seq', { value: 1, configurable: true })
  try {
    refuses('{"type":"ack","epoch":""}', 'frame_malformed', /ack\.seq/)
  } finally {
    Reflect.deleteProperty(Object.prototype, 'seq')
  }
})

test('a wrong type or range is malformed and named', () => {
  refuses('{}', 'frame_malformed', /^type must be a string$/)
  refuses('{"type":7}', 'frame_malformed', /^type must be a string$/)
  const cases: [object, RegExp][] = [
    [{ type: 'ack', epoch: '' }, /^ack\.seq must be an integer from 0 to 9007199254740991$/],
    [{ type: 'ack', epoch: '', seq: null }, /ack\.seq/],
    [{ type: 'ack', epoch: '', seq: '1' }, /ack\.seq/],
    [{ type: 'ack', epoch: '', seq: -1 }, /ack\.seq/],
    [{ type: 'ack', epoch: '', seq: 2 ** 53 }, /ack\.seq/],
    [{ type: 'ack', seq: 1, stream: 7 }, /ack\.stream must be a string/],
    [{ type: 'send', to: 'bob' }, /send\.payload must be a string/],
    [{ type: 'send', to: 'bob', payload: {} }, /send\.payload must be a string/],
    [{ type: 'send', to: 'bob', payload: '', durable: 1 }, /send\.durable must be true or false/],
    [{ type: 'send', to: 'a'.repeat(65_536), payload: '' }, /send\.to must have at most 65535 bytes/],
    [{ type: 'login', token: 't', imei: 'i', start: 'now' }, /login\.start must be one of: earliest, head/],
    [{ type: 'presence', userIds: {} }, /presence\.userIds/],
    [{ type: 'presence', userIds: [1] }, /presence\.userIds\[\] must be a string/],
    [{ type: 'presenceState', requestId: 1, users: [[]] }, /presenceState\.users\[\] must be an object/],
    [
      { type: 'presenceState', requestId: 1, users: [{ userId: 'a', clientTypes: [256] }] },
      /users\[\]\.clientTypes\[\]/,
    ],
  ]
  for (const [json, message] of cases) refuses(JSON.stringify(json), 'frame_malformed', message)
})

test('half a surrogate pair has its own code', () => {
  refuses('{"type":"send","to":"\\ud800","payload":""}', 'utf8_malformed', /send\.to/)
  refuses('{"type":"send","to":"bob","payload":"\\udc00"}', 'utf8_malformed', /send\.payload/)
  refuses('{"type":"presence","userIds":["\\ud800"]}', 'utf8_malformed', /presence\.userIds/)
  assert.equal(decodeJson('{"type":"ack","epoch":"","seq":1,"stream":"\\ud83d\\ude00"}').type, 'ack')
})

test('a payload may be longer than a string field', () => {
  const frame = { ...send, payload: new Uint8Array(200_000).fill(0x61) }
  assert.deepEqual(decodeJson(encodeJson(frame)), frame)
})

test('encoding refuses a value that does not fit, by the name of its field', () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ ...send, requestId: -1 }, /send\.requestId/],
    [{ ...send, to: '\ud800' }, /send\.to/],
    [{ ...send, payload: 'text' }, /send\.payload must be bytes/],
    [{ type: '__proto__' }, /unknown type/],
  ]
  for (const [values, message] of cases) {
    assert.throws(() => encodeJson(frameFrom(values)), { name: 'RangeError', message })
  }
})

test('properties that a frame does not have are not sent', () => {
  assert.equal(encodeJson(frameFrom({ type: 'ping', token: 'secret' })), '{"type":"ping"}')
})
