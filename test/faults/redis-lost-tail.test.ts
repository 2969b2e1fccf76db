import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Device, sendEach } from '../kit/device.ts'
import { RawClient } from '../kit/raw-login.ts'
import { RedisWay } from '../kit/redis-way.ts'
import { assertHeard, assertStory, five, isEmpty, numbered } from '../kit/story.ts'
import { TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

/** How long a device may be left to guess after Redis lost something. */
const TOLD_MS = 40_000
const gateways = ['gw-0', 'gw-1']
const [kept, lost, fresh] = [five('kept'), five('lost'), five('new')]
const bob = { appId: 1, userId: 'bob' }

/** A gateway that gets to Redis by a way of its own. */
async function startBehind(cluster: TestCluster, brokerId: string) {
  const way = await RedisWay.start(cluster.redisUrl)
  await cluster.startGateway(brokerId, { IM_REDIS_URL: way.url })
  return way
}

/** Waits until what a device of bob has acknowledged is in Redis. */
async function awaitCursor({ store: { redis, keys } }: TestCluster, imei: string, seq: number): Promise<void> {
  await until(`the cursor of ${imei}`, async () => {
    const cursor = await redis.hget(keys.cursors(bob), `1:${imei}`)
    return cursor?.endsWith(`:${seq}`)
  })
}

for (const [cut, hidden] of [
  ['lost its newest messages', false],
  ['lost its newest messages, hidden by a proxy', true],
] as const) {
  describe(`Redis ${cut}, and as many new ones came`, () => {
    it('a device that was away is told if it had lost ones, and gets each new one once', async () => {
      await using cluster = await TestCluster.start({ gateways, persistent: false, hidden })
      const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
      await using alice = await Device.open([first], { user: 'alice' })
      await using tablet = await RawClient.login(second, { user: 'bob', imei: 'tablet' })
      await using watch = await RawClient.login(second, { user: 'bob', imei: 'watch' })
      await sendEach(alice, 'bob', kept)
      for (const [device, seq] of [
        [tablet, 5],
        [watch, 3],
      ] as const) {
        await device.waitFor('message', (message) => message.seq === 5)
        device.ack(seq)
      }
      await awaitCursor(cluster, 'tablet', 5)
      await awaitCursor(cluster, 'watch', 3)
      await cluster.save()
      await sendEach(alice, 'bob', lost)
      await tablet.waitFor('message', ({ seq }) => seq === 10)
      tablet.ack(10)
      await awaitCursor(cluster, 'tablet', 10)
      const [loggedIn] = tablet.framesOf('loggedIn')
      const epoch = loggedIn?.epoch ?? ''
      for (const device of [tablet, watch]) device.destroy()
      await until('bob is away', async () =>
        (await cluster.store.sessionsOf('bob')).every(({ connectState }) => connectState === 2),
      )

      await cluster.rollBack()
      await sendEach(alice, 'bob', fresh)

      const login = (imei: string, seq?: number) =>
        RawClient.retryLogin(second, { user: 'bob', imei, ...(seq !== undefined && { cursor: { epoch, seq } }) })
      await using beyond = await login('beyond', 10)
      await using beyondByOne = await login('beyond by one', 6)
      await using atTheCut = await login('at the cut', 5)
      await using before = await login('before', 4)
      await using stored = await login('tablet')
      await using storedBefore = await login('watch')
      await using phone = await Device.open([first], { user: 'bob', imei: 'phone', cursor: { epoch, seq: 10 } })
      await using laptop = await Device.open([first], { user: 'bob', imei: 'laptop', cursor: { epoch, seq: 4 } })
      await alice.client.send('bob', 'last')

      const after = numbered(6, [...fresh, 'last'])
      for (const device of [beyond, beyondByOne]) await assertStory(device, ['reset 5', ...after])
      for (const device of [atTheCut, stored]) await assertStory(device, after)
      await assertStory(before, ['5 kept 5', ...after])
      await assertStory(storedBefore, ['4 kept 4', '5 kept 5', ...after])
      await assertHeard(phone, [...fresh, 'last'], [5])
      await assertHeard(laptop, ['kept 5', ...fresh, 'last'])
      // A client of version 1 keeps its own epoch until a gap names the new one, even if nothing is missing.
      for (const [device, seq] of [
        [atTheCut, 5],
        [before, 4],
      ] as const) {
        const [answer] = device.framesOf('loggedIn')
        assert.notEqual(answer?.epoch, epoch)
        assert.equal(answer?.seq, seq)
        const gaps = device.framesOf('gap')
        assert.deepEqual(
          gaps.map((gap) => [isEmpty(gap), gap.fromSeq, gap.toSeq, gap.epoch]),
          [[true, seq + 1, seq, answer?.epoch]],
        )
      }
    })

    it('a connected device is told and gets each new one once, another only gets them', async () => {
      await using cluster = await TestCluster.start({ gateways, persistent: false, hidden })
      const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
      await using alice = await Device.open([first], { user: 'alice' })
      await using phone = await Device.open([second], { user: 'bob', imei: 'phone' })
      await using web = await RawClient.login(first, { user: 'bob', imei: 'web' })
      await using unharmed = await RawClient.login(second, { user: 'carol' })
      await using unharmedPhone = await Device.open([first], { user: 'carol', imei: 'phone' })
      await sendEach(alice, 'carol', kept)
      await sendEach(alice, 'bob', kept)
      await cluster.save()
      await phone.has(await sendEach(alice, 'bob', lost))
      await web.waitFor('message', ({ seq }) => seq === 10)

      await cluster.rollBack()
      await sendEach(alice, 'bob', fresh)
      await sendEach(alice, 'carol', fresh)

      await assertHeard(phone, [...kept, ...lost, ...fresh], [5])
      await assertHeard(unharmedPhone, [...kept, ...fresh])
      // And nothing is repeated before what comes next.
      for (const user of ['bob', 'carol']) await alice.client.send(user, 'last')
      await assertStory(web, [...numbered(1, [...kept, ...lost]), 'reset 5', ...numbered(6, [...fresh, 'last'])])
      await assertStory(unharmed, numbered(1, [...kept, ...fresh, 'last']))
      await assertHeard(phone, [...kept, ...lost, ...fresh, 'last'], [5])
      await assertHeard(unharmedPhone, [...kept, ...fresh, 'last'])
      assert.deepEqual([phone.disconnections, unharmedPhone.disconnections], [[], []])
      const noticed = cluster.gateways.filter((gateway) => gateway.logs().some(({ msg }) => msg === 'Redis is away'))
      // A quick restart need not be noticed as an outage either.
      if (hidden) assert.equal(noticed.length, 0, 'the proxy hides it')
      assert.deepEqual([web.ending, unharmed.ending], ['open', 'open'])
    })

    it('and if nobody sends anything, a connected device is told in time all the same', async () => {
      const env = { IM_VERIFY_ROUND_MS: '86400000' }
      await using cluster = await TestCluster.start({ gateways, persistent: false, hidden, env })
      const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
      await using alice = await Device.open([first], { user: 'alice' })
      await using phone = await Device.open([second], { user: 'bob', imei: 'phone' })
      await using web = await RawClient.login(first, { user: 'bob', imei: 'web' })
      await sendEach(alice, 'bob', kept)
      await cluster.save()
      await phone.has(await sendEach(alice, 'bob', lost))
      await web.waitFor('message', ({ seq }) => seq === 10)
      await cluster.rollBack()

      await until('the phone is told', () => phone.gaps.length > 0, TOLD_MS)
      await assertHeard(phone, [...kept, ...lost], [5])
      await assertStory(web, [...numbered(1, [...kept, ...lost]), 'reset 5'], TOLD_MS)
      assert.deepEqual([phone.disconnections, web.ending], [[], 'open'])
    })
  })
}

describe('Redis lost its newest messages, and one gateway gets to it later than the others', () => {
  it('its devices are told, and get each new message once', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0'], persistent: false })
    await using way = await startBehind(cluster, 'gw-1')
    await using alice = await Device.open([cluster.gateway('gw-0')], { user: 'alice' })
    await using phone = await Device.open([cluster.gateway('gw-1')], { user: 'bob', imei: 'phone' })
    await using web = await RawClient.login(cluster.gateway('gw-1'), { user: 'bob', imei: 'web' })
    await sendEach(alice, 'bob', kept)
    await cluster.save()
    await phone.has(await sendEach(alice, 'bob', lost))
    await web.waitFor('message', ({ seq }) => seq === 10)

    way.hold()
    await cluster.rollBack()
    await sendEach(alice, 'bob', fresh)
    way.release()

    await assertHeard(phone, [...kept, ...lost, ...fresh], [5])
    await alice.client.send('bob', 'last')
    await assertHeard(phone, [...kept, ...lost, ...fresh, 'last'], [5])
    await assertStory(web, [...numbered(1, [...kept, ...lost]), 'reset 5', ...numbered(6, [...fresh, 'last'])])
    assert.deepEqual([phone.disconnections, web.ending], [[], 'open'])
  })
})
