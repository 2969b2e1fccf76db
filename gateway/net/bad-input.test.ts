import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { buildLogin, buildSend, type RawClient } from '../../test/kit/raw-client.ts'
import { encodeBinary } from '../../protocol/binary.ts'
import type { CodeName } from '../../protocol/codes.ts'
import type { Frame } from '../../protocol/frames.ts'
import { encodeJson } from '../../protocol/json.ts'
import { assertCounted, SECRET } from '../test-bench.ts'
import { frameTimeoutMs, maxFrameBytes, openTarget, wires, type Target } from '../test-target.ts'

let target: Target

before(async () => {
  target = await openTarget()
})

after(() => target[Symbol.asyncDispose]())

/** A frame's bytes with some of them changed. */
function changed(frame: Frame, changes: Readonly<Record<number, number>>): Uint8Array {
  const bytes = encodeBinary(frame)
  for (const [at, value] of Object.entries(changes)) bytes[Number(at)] = value
  return bytes
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

const ping: Frame = { type: 'ping' }

describe('bytes that are no frames', () => {
  const tlsHello = Uint8Array.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03)
  const cases: Readonly<Record<string, readonly [CodeName, Uint8Array]>> = {
    garbage: ['frame_too_large', Uint8Array.from({ length: 4_096 }, (_, index) => (index * 151 + 77) % 256)],
    'an HTTP request': ['frame_too_large', text('GET / HTTP/1.1\r\nHost: im\r\n\r\n')],
    'a TLS hello': ['frame_too_large', tlsHello],
    JSON: ['frame_too_large', text(encodeJson(buildLogin({ token: SECRET })))],
    'a length over the maximum': ['frame_too_large', Uint8Array.of(0, 0, 0x40, 0x01)],
    'a length of zero': ['frame_malformed', Uint8Array.of(0, 0, 0, 0)],
    'a length too short for a type': ['frame_malformed', Uint8Array.of(0, 0, 0, 1, 1)],
    'an unknown version': ['version_unsupported', changed(ping, { 4: 2 })],
    'an unknown type': ['frame_type_unknown', changed(ping, { 5: 0x7f })],
    'a field that ends behind its frame': ['frame_malformed', changed(buildLogin({ token: SECRET }), { 10: 0xff })],
    'a string that is not UTF-8': ['utf8_malformed', changed(buildLogin({ token: SECRET }), { 12: 0xff })],
  }
  for (const [name, [code, bytes]] of Object.entries(cases)) {
    test(`over TCP: ${name}`, () => target.assertCloses(code, 'tcp', (client) => client.sendRaw(bytes)))
    test(`over WebSocket: ${name}`, () => target.assertCloses(code, 'binary', (client) => client.sendRaw(bytes)))
  }

  test('a frame over the maximum after the login', async () => {
    const bytes = new Uint8Array(maxFrameBytes + 5)
    new DataView(bytes.buffer).setUint32(0, maxFrameBytes + 1)
    for (const wire of ['tcp', 'binary'] as const) {
      await target.assertCloses('frame_too_large', wire, (client) => client.sendRaw(bytes), { token: target.token })
    }
    const json = encodeJson(buildSend('bob', 'x'.repeat(maxFrameBytes)))
    await target.assertCloses('frame_too_large', 'json', (client) => client.sendRaw(json), { token: target.token })
  })

  test('a frame that never ends, before and after the login', async () => {
    const whole = encodeBinary(buildLogin({ token: SECRET }))
    for (const bytes of [whole.subarray(0, 2), whole.subarray(0, 5), whole.subarray(0, -1)]) {
      await target.assertCloses('frame_timeout', 'tcp', (client) => client.sendRaw(bytes))
      await target.assertCloses('frame_timeout', 'tcp', (client) => client.sendRaw(bytes), { token: target.token })
    }
  })

  test('a frame that comes byte by byte and slower than it may', () =>
    target.assertCloses('frame_timeout', 'tcp', async (client) => {
      const bytes = encodeBinary(buildSend('bob', 'x'.repeat(5_000)))
      for (let at = 0; client.open; at++) {
        assert.ok(at < 5_000, 'closed long before the frame ends')
        await Promise.race([client.sendRaw(bytes.subarray(at, at + 1)), client.ended])
        await delay(5)
      }
    }))

  test('a frame that comes in pieces, and fast enough, is a frame, and its time ends with it', async () => {
    await using client = await target.connect('tcp')
    await client.login({ token: target.token })
    const bytes = encodeBinary(ping)
    for (const piece of [bytes.subarray(0, 1), bytes.subarray(1, 5), bytes.subarray(5)]) {
      await client.sendRaw(piece)
      // So that the pieces do not arrive as one.
      await delay(10)
    }
    await client.next('pong')
    await delay(2 * frameTimeoutMs)
    await client.sync()
  })

  test('half a frame in a WebSocket message', () =>
    target.assertCloses('frame_malformed', 'binary', (client) => client.sendRaw(encodeBinary(ping).subarray(0, 5))))
})

describe('text that is no frame', () => {
  const cases: Readonly<Record<string, readonly [CodeName, string]>> = {
    'no JSON': ['json_malformed', `{"type":"login","token":"${SECRET}"`],
    'an empty message': ['json_malformed', ''],
    'a list': ['json_malformed', '[]'],
    null: ['json_malformed', 'null'],
    'an object without a type': ['frame_malformed', '{}'],
    'an unknown type': ['frame_type_unknown', '{"type":"constructor"}'],
    'a field of the wrong type': ['frame_malformed', '{"type":"login","token":5,"imei":"a"}'],
    'a field that is missing': ['frame_malformed', '{"type":"login","token":"t"}'],
    'half a surrogate pair': ['utf8_malformed', '{"type":"login","token":"\\ud800","imei":"a"}'],
  }
  for (const [name, [code, json]] of Object.entries(cases)) {
    test(name, () => target.assertCloses(code, 'json', (client) => client.sendRaw(json)))
  }

  test('text that is not UTF-8', () =>
    target.assertCloses('utf8_malformed', 'json', (client) => client.sendRaw(Uint8Array.of(0x22, 0xff, 0x22), true)))

  test('a binary message on the JSON subprotocol, and text on the binary one', async () => {
    await target.assertCloses('frame_malformed', 'json', (client) =>
      client.sendRaw(encodeBinary(buildLogin({ token: target.token }))),
    )
    await target.assertCloses('frame_malformed', 'binary', (client) =>
      client.sendRaw(encodeJson(buildLogin({ token: target.token }))),
    )
  })

  test('a WebSocket message so long that it is not taken in at all ends with the code of RFC 6455', async () => {
    for (const wire of ['binary', 'json'] as const) {
      await assertCounted(target.gateway, 'im_closes_total{code="frame_too_large"}', async () => {
        await using client = await target.connect(wire)
        await client.login({ token: target.token })
        void client.sendRaw(new Uint8Array(1_000_000), wire === 'json')
        assert.equal((await client.waitForEnd()).code, 1009)
      })
    }
  })
})

describe('frames out of place', () => {
  for (const wire of wires) {
    test(`over ${wire}: a frame before the login`, async () => {
      const early: Frame[] = [
        buildSend('bob', SECRET),
        ping,
        { type: 'pong' },
        { type: 'ack', stream: 'inbox', epoch: '', seq: 1 },
        { type: 'renew', requestId: 1, token: target.token },
        { type: 'logout', requestId: 1 },
        { type: 'presence', requestId: 1, userIds: ['bob'] },
      ]
      for (const frame of early) await target.assertCloses('login_required', wire, (client) => client.send(frame))
    })

    test(`over ${wire}: a frame that only a gateway sends`, async () => {
      const accepted: Frame = { type: 'accepted', requestId: 1, seq: 1, sentAt: 1, duplicate: false }
      await target.assertCloses('frame_unexpected', wire, (client) => client.send(accepted))
      await target.assertCloses('frame_unexpected', wire, (client) => client.send(accepted), { token: target.token })
    })

    test(`over ${wire}: a second login`, () =>
      target.assertCloses('login_repeated', wire, (client) => client.send(buildLogin({ token: target.token })), {
        token: target.token,
      }))

    test(`over ${wire}: a second login sent together with the first`, () =>
      target.assertCloses('login_repeated', wire, (client) => {
        client.send(buildLogin({ token: target.token }))
        client.send(buildLogin({ token: target.token }))
      }))

    test(`over ${wire}: an ack of something never delivered`, async () => {
      for (const [stream, seq] of [
        ['inbox', 1],
        ['inbox', Number.MAX_SAFE_INTEGER],
        ['outbox', 0],
      ] as const) {
        const acknowledge = (client: RawClient) => client.send({ type: 'ack', stream, epoch: client.epoch, seq })
        await target.assertCloses('frame_malformed', wire, acknowledge, { token: target.token })
      }
    })
  }
})
