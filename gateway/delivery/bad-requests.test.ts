import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { SignJWT, UnsecuredJWT, type JWTPayload } from 'jose'
import { buildLogin, buildSend, type LoginFields } from '../../test/kit/raw-client.ts'
import type { CodeName } from '../../protocol/codes.ts'
import { limits, type Frame } from '../../protocol/frames.ts'
import { assertCounted, SECRET } from '../test-bench.ts'
import { authSecret, maxFrameBytes, openTarget, wires, type Target } from '../test-target.ts'

let target: Target

before(async () => {
  target = await openTarget()
})

after(() => target[Symbol.asyncDispose]())

/** An hour from now, as a JWT says it. */
function soon(): number {
  return Math.floor(Date.now() / 1000) + 3_600
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

function signClaims(claims: JWTPayload, alg = 'HS256', secret = authSecret): Promise<string> {
  return new SignJWT({ exp: soon(), ...claims }).setProtectedHeader({ alg }).sign(text(secret))
}

function sign(claims: JWTPayload, alg?: string, secret?: string): Promise<string> {
  return signClaims({ app: 1, sub: 'mallory', ...claims }, alg, secret)
}

function users(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `user-${index}`)
}

describe('tokens', () => {
  const cases: Readonly<Record<string, readonly [CodeName, () => Promise<string> | string]>> = {
    'an empty token': ['token_invalid', () => ''],
    'no token at all': ['token_invalid', () => SECRET],
    'a token longer than the maximum': ['token_invalid', () => `${SECRET}${'x'.repeat(limits.token)}`],
    'a token of auth mode none': ['token_invalid', () => '1:mallory'],
    'a token by another secret': ['token_invalid', () => sign({}, 'HS256', `${authSecret}!`)],
    'a token with a changed claim': ['token_invalid', async () => (await sign({})).replace(/\.(.)/, '.$1a')],
    'a token by HS512': ['token_invalid', () => sign({}, 'HS512')],
    'a token without signature': ['token_invalid', () => new UnsecuredJWT({ app: 1, sub: 'mallory' }).encode()],
    'an expired token': ['token_expired', () => sign({ exp: soon() - 7_200 })],
    'a token not valid yet': ['token_invalid', () => sign({ nbf: soon() })],
    'a token without an app': ['token_invalid', () => signClaims({ sub: 'mallory' })],
    'a token whose app is no number': ['token_invalid', () => sign({ app: 'one' })],
    'a token whose app is a fraction': ['token_invalid', () => sign({ app: 1.5 })],
    'a token whose app is too large': ['token_invalid', () => sign({ app: 2 ** 32 })],
    'a token of another app': ['app_forbidden', () => sign({ app: 2 })],
    'a token without a user': ['user_id_invalid', () => signClaims({ app: 1 })],
    'an empty user id': ['user_id_invalid', () => sign({ sub: '' })],
    'a user id longer than the maximum': ['user_id_invalid', () => sign({ sub: 'é'.repeat(limits.userId / 2) + 'x' })],
  }
  for (const [name, [code, create]] of Object.entries(cases)) {
    test(name, async () => {
      const bad = await create()
      await assertCounted(target.gateway, `im_logins_total{result="${code}"}`, () =>
        target.assertCloses(code, 'tcp', (client) => client.send(buildLogin({ token: bad }))),
      )
      // Before the login no frame may be longer than a token and little else.
      await target.assertCloses(code, 'json', (client) => client.send(buildLogin({ token: bad })))
    })
  }

  test('an app written as a string, and the longest user id, are accepted', async () => {
    await using client = await target.connect('json')
    const userId = 'é'.repeat(limits.userId / 2)
    const answer = await client.login({ token: await sign({ app: '1', sub: userId }) })
    assert.deepEqual([answer.appId, answer.userId], [1, userId])
  })
})

describe('devices', () => {
  const cases: Readonly<Record<string, Omit<LoginFields, 'token'>>> = {
    'an empty imei': { imei: '' },
    'an imei longer than the maximum': { imei: 'é'.repeat(limits.imei / 2) + 'x' },
    'a version longer than the maximum': { version: 'v'.repeat(limits.version + 1) },
    'an unknown clientType': { clientType: 6 },
    'the clientType of nobody': { clientType: 255 },
  }
  for (const [name, fields] of Object.entries(cases)) {
    test(name, async () => {
      for (const wire of wires) {
        await target.assertCloses('device_invalid', wire, (client) =>
          client.send(buildLogin({ token: target.token, ...fields })),
        )
      }
    })
  }
})

describe('requests', () => {
  const request = { requestId: 7 }
  const tooLarge = SECRET.padEnd(maxFrameBytes - limits.payloadMargin + 1)
  const cases: Readonly<Record<string, readonly [CodeName, Frame & { requestId: number }]>> = {
    'a send to oneself': ['recipient_self', buildSend('mallory', SECRET, request)],
    'a send to nobody': ['recipient_invalid', buildSend('', SECRET, request)],
    'a recipient longer than the maximum': ['recipient_invalid', buildSend('x'.repeat(129), SECRET, request)],
    'a transient send to nobody': ['recipient_invalid', buildSend('', SECRET, { ...request, durable: false })],
    'a durable send without messageId': ['message_id_invalid', buildSend('bob', SECRET, { ...request, messageId: '' })],
    'a messageId longer than the maximum': [
      'message_id_invalid',
      buildSend('bob', SECRET, { ...request, durable: false, messageId: 'x'.repeat(65) }),
    ],
    'a payload longer than the maximum': ['payload_too_large', buildSend('bob', tooLarge, request)],
    'presence of nobody': ['presence_too_large', { type: 'presence', requestId: 7, userIds: [] }],
    'presence of 101 users': ['presence_too_large', { type: 'presence', requestId: 7, userIds: users(101) }],
    'presence of an empty user id': ['recipient_invalid', { type: 'presence', requestId: 7, userIds: ['bob', ''] }],
    'presence of a user id too long': [
      'recipient_invalid',
      { type: 'presence', requestId: 7, userIds: ['x'.repeat(129)] },
    ],
  }
  for (const [name, [code, frame]] of Object.entries(cases)) test(name, () => target.assertRefuses(code, frame))

  test('the largest of everything is accepted', async () => {
    await using client = await target.connect('tcp')
    await client.login({ token: target.token, imei: 'i'.repeat(limits.imei), version: 'v'.repeat(limits.version) })
    const payload = SECRET.padEnd(maxFrameBytes - limits.payloadMargin)
    client.send(buildSend('b'.repeat(limits.userId), payload, { messageId: 'm'.repeat(limits.messageId) }))
    assert.equal((await client.next('accepted')).seq, 1)
    client.send({ type: 'presence', requestId: 1, userIds: users(limits.presenceUsers) })
    assert.equal((await client.next('presenceState')).users.length, limits.presenceUsers)
  })

  test('a send to a user that never logged in is kept for the day that it does', async () => {
    await using client = await target.connect('tcp')
    await client.login({ token: target.token })
    client.send(buildSend('newcomer', SECRET))
    assert.equal((await client.next('accepted')).seq, 1)
  })
})
