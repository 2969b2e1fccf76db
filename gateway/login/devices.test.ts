import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { connectWebSocket, type RawClient } from '../../test/kit/raw-client.ts'
import { NO_CLIENT_TYPE, type FrameOf } from '../../protocol/frames.ts'
import { Keys } from '../../session/keys.ts'
import { parseUserSession, type UserSession } from '../../session/user-session.ts'
import {
  eventually,
  loginTcp,
  loginWebSocket,
  openBench,
  readMetric,
  type GatewayAddress,
  type TestBench,
} from '../test-bench.ts'

const [web, ios, android, windows, macos] = [1, 2, 3, 4, 5] as const
const keys = new Keys()
const twoPhones = '{"classes":[{"name":"phone","clientTypes":[2,3],"limit":2}]}'
const policies = {
  single: 'single',
  dual: 'dual',
  triple: 'triple',
  unlimited: 'unlimited',
  custom: twoPhones,
} as const
type Policy = keyof typeof policies

let bench: TestBench
let redis: Redis
/** Two of each, because the devices of a user may be anywhere. */
let gateways: Record<Policy, readonly [GatewayAddress, GatewayAddress]>

before(async () => {
  bench = await openBench()
  redis = new Redis(bench.redis.url)
  const start = async (policy: Policy) => {
    const settings = { DEVICE_POLICY: policies[policy] }
    return [
      policy,
      await Promise.all(['a', 'b'].map((name) => bench.startHere(`${policy}-${name}`, settings))),
    ] as const
  }
  const started = []
  for (const policy of Object.keys(policies) as Policy[]) started.push(await start(policy))
  gateways = Object.fromEntries(started) as unknown as typeof gateways
})

after(async () => {
  redis.disconnect()
  await bench[Symbol.asyncDispose]()
})

async function readSessions(userId: string): Promise<UserSession[]> {
  const fields = await redis.hgetall(keys.sessions({ appId: 1, userId }))
  return Object.values(fields).map((json) => parseUserSession(json))
}

/** Logs devices of these types in, one after the other, each at the other gateway than the one before. */
async function loginAll(policy: Policy, userId: string, clientTypes: readonly number[]): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (const [index, clientType] of clientTypes.entries()) {
    const gateway = gateways[policy][index % 2 === 0 ? 0 : 1]
    clients.push(await loginWebSocket(gateway, { token: `1:${userId}`, clientType, imei: `device-${index}` }))
  }
  return clients
}

describe('a device policy', () => {
  /** Logins by clientType; then who is displaced (by index), and by a device of which clientType. */
  const cases: readonly (readonly [Policy, readonly number[], Readonly<Record<number, number>>])[] = [
    ['single', [web, ios, web], { 0: ios, 1: web }],
    ['dual', [ios, web, windows], { 0: windows }],
    ['dual', [web, android, web], { 0: web }],
    ['triple', [ios, windows, web, android, macos, web], { 0: android, 1: macos, 2: web }],
    ['unlimited', [web, web, ios, ios, windows, 0], {}],
    ['custom', [ios, android, web, web, ios], { 0: ios }],
  ]
  for (const [index, [policy, logins, displaced]] of cases.entries()) {
    test(`${policy}: logins of client types ${logins.join(', ')}`, async () => {
      const userId = `policy-${index}`
      const clients = await loginAll(policy, userId, logins)
      for (const [at, clientType] of Object.entries(displaced)) {
        const ending = await clients[Number(at)]?.waitForEnd()
        assert.deepEqual([ending?.name, ending?.code, ending?.frame?.clientType], ['displaced', 4215, clientType])
      }
      const staying = clients.filter((_, at) => !(at in displaced))
      for (const client of staying) await client.sync()
      const expected = staying.map((client) => `device-${clients.indexOf(client)}`)
      const sessions = await readSessions(userId)
      assert.deepEqual(new Set(sessions.map(({ imei }) => imei)), new Set(expected))
      for (const client of staying) client.destroy()
    })
  }

  for (const at of ['this gateway', 'another gateway'] as const) {
    test(`unlimited ends at the most devices of a user, and whoever has to leave at ${at} is told so`, async () => {
      const here = await bench.startHere(`bound-${at.split(' ')[0]}`, { MAX_DEVICES: '2' })
      const next = at === 'this gateway' ? here : await bench.startHere('bound-next', { MAX_DEVICES: '2' })
      const token = `1:bound at ${at}`
      const first = await loginTcp(here, { token, imei: 'first' })
      await using second = await loginTcp(here, { token, imei: 'second' })
      await using third = await loginTcp(next, { token, clientType: ios, imei: 'third' })
      const { name, frame } = await first.waitForEnd()
      assert.deepEqual([name, frame?.clientType], ['displaced', ios])
      assert.match(frame?.message ?? '', /at most 2 devices online/)
      await Promise.all([second.sync(), third.sync()])
    })
  }

  test('lets only one of many simultaneous logins survive where it allows one', async () => {
    const attempts = Array.from({ length: 12 }, async (_, index) => {
      const client = await connectWebSocket(gateways.single[index % 2 === 0 ? 0 : 1].wsUrl)
      // One may be displaced before it has even been told of its login.
      await client.login({ token: '1:rush', imei: `device-${index}` }).catch(() => undefined)
      return client
    })
    const clients = await Promise.all(attempts)
    const left = () => clients.filter(({ open }) => open)
    await eventually(
      () => left().length,
      (count) => count <= 1,
      'connections left',
    )
    const [winner] = left()
    assert.ok(winner)
    await winner.sync()
    const [session, ...others] = await readSessions('rush')
    assert.equal(session?.imei, `device-${clients.indexOf(winner)}`)
    assert.deepEqual(others, [])
    for (const client of clients) {
      if (client !== winner) assert.equal((await client.waitForEnd()).name, 'displaced')
    }
    winner.destroy()
  })
})

describe('the same device again', () => {
  for (const [name, at] of [
    ['at the same gateway', 0],
    ['at another gateway', 1],
  ] as const) {
    test(`${name} takes the place of its old connection, and displaces nobody`, async () => {
      const userId = `again-${at}`
      const login = (index: 0 | 1, clientType: number, imei: string) =>
        loginTcp(gateways.dual[index], { token: `1:${userId}`, clientType, imei })
      const [phone, browser] = [await login(0, ios, 'phone'), await login(0, web, 'browser')]
      await phone.next('notice')
      const again = await login(at, ios, 'phone')
      const ending = await phone.waitForEnd()
      assert.deepEqual([ending.name, ending.frame?.clientType], ['replaced', ios])
      await again.sync()
      await browser.sync()
      assert.deepEqual(
        browser.unread.map((frame) => frame.type === 'notice' && frame.event),
        ['joined'],
        'a device that went on over another connection has not left',
      )
      assert.equal((await readSessions(userId)).length, 2)
      for (const client of [again, browser]) client.destroy()
    })
  }

  test('and its old connection, ended before it hears of that, has not left', async () => {
    const [here, there] = gateways.unlimited
    const connections = () => readMetric(here, 'im_connections{transport="tcp"}')
    await using browser = await loginTcp(here, { token: '1:racer', imei: 'browser' })
    const phone = await loginTcp(here, { token: '1:racer', imei: 'phone', clientType: ios })
    await browser.next('notice')
    const before = await connections()
    // The eviction is held up on its way.
    process.kill(bench.nats.pid, 'SIGSTOP')
    let again: RawClient
    try {
      again = await loginTcp(there, { token: '1:racer', imei: 'phone', clientType: ios })
      phone.destroy()
      await eventually(connections, (count) => count < before, 'connections')
      // Another user's leave, handled behind it.
      const other = await loginTcp(here, { token: '1:other' })
      other.destroy()
      await eventually(
        () => readSessions('other'),
        ([session]) => session?.connectState === 2,
        'session',
      )
      await browser.sync()
    } finally {
      process.kill(bench.nats.pid, 'SIGCONT')
    }
    assert.deepEqual(await browser.next('notice'), { type: 'notice', event: 'joined', clientType: ios, imei: 'phone' })
    await browser.sync()
    assert.deepEqual(browser.unread, [])
    again.destroy()
  })
})

describe('other devices of the user', () => {
  test('are told who joined and who left, wherever they are; nobody else is', async () => {
    const [here, there] = gateways.unlimited
    await using first = await loginTcp(here, { token: '1:alice', clientType: web, imei: 'first' })
    await using second = await loginTcp(there, { token: '1:alice', clientType: web, imei: 'second' })
    await using stranger = await loginTcp(here, { token: '1:bob' })
    await using otherApp = await loginTcp(here, { token: '2:alice' })
    await first.next('notice')
    const third = await loginWebSocket(here, { token: '1:alice', clientType: ios, imei: 'third' })
    const joined: FrameOf<'notice'> = { type: 'notice', event: 'joined', clientType: ios, imei: 'third' }
    for (const client of [first, second]) assert.deepEqual(await client.next('notice'), joined)
    third.destroy()
    for (const client of [first, second]) assert.deepEqual(await client.next('notice'), { ...joined, event: 'left' })
    for (const client of [first, second, stranger, otherApp]) {
      await client.sync()
      assert.deepEqual(client.unread, [])
    }
  })

  test('and anybody else can ask who is online', async () => {
    const [here, there] = gateways.unlimited
    await using asker = await loginTcp(here, { token: '1:asker' })
    const ask = async () => {
      asker.send({ type: 'presence', requestId: 9, userIds: ['seen', 'nobody', 'asker', 'seen'] })
      const { requestId, users } = await asker.next('presenceState')
      assert.equal(requestId, 9)
      assert.deepEqual(
        users.map(({ userId }) => userId),
        ['seen', 'nobody', 'asker', 'seen'],
      )
      return users.map(({ clientTypes }) => clientTypes.toSorted((a, b) => a - b))
    }
    assert.deepEqual(await ask(), [[], [], [web], []])
    const phone = await loginTcp(there, { token: '1:seen', clientType: ios, imei: 'a' })
    await using browsers = await loginTcp(here, { token: '1:seen', imei: 'b' })
    await using other = await loginTcp(there, { token: '1:seen', imei: 'c' })
    assert.deepEqual(await ask(), [[web, ios], [], [web], [web, ios]])
    phone.destroy()
    await browsers.next('notice', ({ event }) => event === 'left')
    assert.deepEqual(await ask(), [[web], [], [web], [web]])
    await other.sync()
  })
})

describe('the end of a session', () => {
  test('a connection that ends leaves it as offline, until the device comes back', async () => {
    const [here, there] = gateways.unlimited
    const client = await loginTcp(here, { token: '1:leaver', imei: 'phone', clientType: ios, version: '2.1' })
    const [online] = await readSessions('leaver')
    assert.equal(online?.connectState, 1)
    client.destroy()
    const [offline] = await eventually(
      () => readSessions('leaver'),
      ([session]) => session?.connectState === 2,
      'the session',
    )
    const { userId, appId, clientType, imei, version, brokerId, brokerHost } = offline as UserSession
    assert.deepEqual([userId, appId, clientType, imei, version], ['leaver', 1, ios, 'phone', '2.1'])
    assert.deepEqual([brokerId, brokerHost], ['unlimited-a', '127.0.0.1'])

    await using again = await loginTcp(there, { token: '1:leaver', imei: 'phone', clientType: ios })
    const sessions = await readSessions('leaver')
    assert.deepEqual(
      sessions.map(({ connectState, brokerId }) => [connectState, brokerId]),
      [[1, 'unlimited-b']],
    )
    await again.sync()
  })

  test('a logout leaves none, and tells the others', async () => {
    const [here] = gateways.unlimited
    await using other = await loginTcp(here, { token: '1:quitter', imei: 'other' })
    const client = await loginWebSocket(here, { token: '1:quitter', imei: 'phone', clientType: ios })
    client.send({ type: 'logout', requestId: 3 })
    const ending = await client.waitForEnd()
    assert.deepEqual([ending.name, ending.code, ending.frame?.clientType], ['logged_out', 4216, NO_CLIENT_TYPE])
    await other.next('notice', ({ event, imei }) => event === 'left' && imei === 'phone')
    assert.deepEqual(
      (await readSessions('quitter')).map(({ imei }) => imei),
      ['other'],
    )
  })

  test('a drained gateway leaves none, and for an hour how many it cut off', async () => {
    const gateway = await bench.start('drained', { DRAIN_DEADLINE_MS: '100', DRAIN_JITTER_MS: '0' })
    const [online, gone] = [
      await loginTcp(gateway, { token: '1:drained', imei: 'online' }),
      await loginTcp(gateway, { token: '1:drained', imei: 'gone' }),
    ]
    gone.destroy()
    await online.next('notice', ({ event }) => event === 'left')
    gateway.kill('SIGTERM')
    await online.next('goAway')
    assert.equal((await online.waitForEnd()).name, 'going_away')
    assert.deepEqual(await gateway.exited, { code: 0, signal: null })
    assert.deepEqual(await readSessions('drained'), [])
    const left = await redis.keys('im:broker:{drained}*')
    assert.deepEqual(
      left.map((key) => key.slice(key.lastIndexOf(':'))),
      [':departure'],
    )
    const ttl = await redis.ttl(left[0] ?? '')
    assert.ok(ttl > 0 && ttl <= 3_600, String(ttl))
  })
})
