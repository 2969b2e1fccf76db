import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { SignJWT } from 'jose'
import type { GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { buildSend, connectTcp, connectWebSocket, type RawClient } from '../../test/kit/raw-client.ts'
import { signToken } from '../../test/kit/token.ts'
import { codes, type CodeName } from '../../protocol/codes.ts'
import { loginTcp, loginWebSocket, openBench, readMetric, SECRET, type TestBench } from '../test-bench.ts'

const authSecret = `${SECRET} and at least 32 bytes long`

let bench: TestBench
let gateway: GatewayProcess

before(async () => {
  bench = await openBench()
  gateway = await bench.start('gw-0', {
    AUTH_MODE: 'secret',
    AUTH_SECRET: authSecret,
    HEARTBEAT_MS: '1000',
    IDLE_TIMEOUT_MS: '6000',
    LOGIN_TIMEOUT_MS: '6000',
  })
})

after(() => bench[Symbol.asyncDispose]())

function sign(userId: string, validFor = '1h'): Promise<string> {
  return signToken(authSecret, 1, userId, validFor)
}

/** Pings until the connection ends, so that it is not closed as idle. */
async function stay(client: RawClient): Promise<CodeName | undefined> {
  while (client.open) {
    client.send({ type: 'ping' })
    await Promise.race([delay(100), client.ended])
  }
  return (await client.waitForEnd()).name
}

/** Both transports, by the way to connect over each. */
const ways = { tcp: () => connectTcp(gateway.tcpUrl), webSocket: () => connectWebSocket(gateway.wsUrl) }

// All at the same time: most of it is waiting.
describe('silence', { concurrency: true }, () => {
  for (const [way, connect] of Object.entries(ways)) {
    test(`over ${way}: a connection that never logs in is closed`, async () => {
      const client = await connect()
      assert.equal((await client.waitForEnd()).name, 'login_timeout')
    })

    test(`over ${way}: a client that pings as often as it is told lives, and is closed when it stops`, async () => {
      const client = await connect()
      const { heartbeatMs } = await client.login({ token: await sign(`pinging-${way}`) })
      assert.equal(heartbeatMs, 1000)
      for (let beat = 0; beat < 7; beat++) {
        await delay(heartbeatMs)
        await client.sync()
      }
      assert.equal((await client.waitForEnd()).name, 'idle_timeout')
    })
  }

  test('what the gateway sends is no sign of life of the client', async () => {
    const [alice, bob] = [
      await loginTcp(gateway, { token: await sign('alice') }),
      await loginTcp(gateway, { token: await sign('bob') }),
    ]
    while (bob.open) {
      alice.send(buildSend('bob', SECRET))
      await Promise.race([alice.next('accepted'), bob.ended])
      await delay(50)
    }
    assert.equal((await bob.waitForEnd()).name, 'idle_timeout')
    await alice.sync()
    alice.destroy()
  })

  test('a pong is a sign of life as well', async () => {
    await using client = await loginWebSocket(gateway, { token: await sign('carol') })
    for (let beat = 0; beat < 7; beat++) {
      await delay(1000)
      client.send({ type: 'pong' })
    }
    await client.sync()
    assert.deepEqual(client.unread, [])
  })
})

describe('tokens that expire', { concurrency: true }, () => {
  test('end the connection, unless renewed in time', async () => {
    await using renewing = await connectTcp(gateway.tcpUrl)
    const [token, later] = [await sign('alice', '8s'), await sign('alice', '1h')]
    const { expiresAt } = await renewing.login({ token, imei: 'renewing' })
    assert.ok(expiresAt > Date.now() && expiresAt <= Date.now() + 8_000)
    const expiring = await loginTcp(gateway, { token, imei: 'expiring' })
    await using never = await loginTcp(gateway, { token, imei: 'never' })

    renewing.send({ type: 'renew', requestId: 5, token: later })
    const renewed = await renewing.next('renewed')
    assert.equal(renewed.requestId, 5)
    assert.ok(renewed.expiresAt > Date.now() + 3_000_000)
    const forever = await new SignJWT({ app: 1, sub: 'alice' })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(authSecret))
    never.send({ type: 'renew', requestId: 6, token: forever })
    assert.equal((await never.next('renewed')).expiresAt, 0)

    void stay(renewing)
    void stay(never)
    assert.equal(await stay(expiring), 'token_expired')
    assert.ok(Date.now() >= expiresAt)
    await renewing.sync()
    await never.sync()
  })

  test('a token that cannot renew is refused, and the connection goes on with the old one', async () => {
    const token = await sign('alice', '8s')
    await using client = await connectTcp(gateway.tcpUrl)
    await client.login({ token })
    const cases: readonly (readonly [CodeName, string])[] = [
      ['token_invalid', await sign('bob')],
      ['token_invalid', await signToken(authSecret, 2, 'alice')],
      ['token_invalid', SECRET],
      ['token_invalid', ''],
      ['token_expired', await sign('alice', '-1m')],
    ]
    for (const [code, bad] of cases) {
      client.send({ type: 'renew', requestId: 1, token: bad })
      assert.equal((await client.next('error')).code, codes[code].code)
    }
    await client.sync()
    assert.equal(await stay(client), 'token_expired')
  })

  test('a token that has just expired logs nobody in', async () => {
    await using client = await connectTcp(gateway.tcpUrl)
    await assert.rejects(client.login({ token: await sign('alice', '-1s') }), /token_expired/)
  })
})

test('every end has been counted', async () => {
  const expected = {
    'im_closes_total{code="login_timeout"}': 2,
    'im_closes_total{code="idle_timeout"}': 3,
    'im_closes_total{code="token_expired"}': 3,
    'im_errors_total{code="token_invalid"}': 4,
    'im_errors_total{code="token_expired"}': 1,
  }
  for (const [series, count] of Object.entries(expected)) assert.equal(await readMetric(gateway, series), count, series)
})
