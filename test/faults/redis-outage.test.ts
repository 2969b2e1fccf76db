import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { assertDelivered, Device, startTraffic } from '../kit/device.ts'
import { RawClient } from '../kit/raw-login.ts'
import { readiness, TestCluster } from '../kit/test-cluster.ts'
import { PATIENCE_MS, until } from '../kit/wait.ts'

/** How long sessions may take to be back in the directory. */
const BACK_MS = 40_000
const LEASE_MS = 1_000
const env = { IM_LEASE_MS: String(LEASE_MS) }

/** Two devices of alice, bob beside one of them, and a bystander without an SDK that would mend anything. */
async function connectPeople(cluster: TestCluster) {
  const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
  const stack = new AsyncDisposableStack()
  const phone = stack.use(await Device.open([first], { user: 'alice', imei: 'phone', transport: 'tcp' }))
  const web = stack.use(await Device.open([second], { user: 'alice', imei: 'web' }))
  const bob = stack.use(await Device.open([second], { user: 'bob' }))
  const carol = stack.use(await RawClient.login(first, { user: 'carol' }))
  const before = await bob.client.send('alice', 'before')
  await Promise.all([phone, web].map((device) => device.has([before])))
  return { phone, web, bob, carol, before, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}
type People = Awaited<ReturnType<typeof connectPeople>>

function assertUndisturbed({ phone, web, bob, carol }: People): void {
  for (const { name, connections, disconnections } of [phone, web, bob]) {
    assert.equal(connections.length, 1, `${name} stayed on one connection`)
    assert.deepEqual(disconnections, [])
  }
  assert.equal(carol.ending, 'open')
}

function idsOf({ phone, web, bob, carol }: People): string[] {
  return [phone, web, bob, carol].map(({ connectionId }) => connectionId)
}

/** Waits until Redis shows these connections as online, and no other. */
async function awaitSessions({ store }: TestCluster, wanted: readonly string[]): Promise<void> {
  await until(
    'every session is in the directory',
    async () => {
      const online = (await store.sessions()).filter(({ connectState }) => connectState === 1)
      assert.deepEqual(online.map(({ connectionId }) => connectionId).toSorted(), wanted.toSorted())
      return true
    },
    BACK_MS,
  )
  for (const brokerId of ['gw-0', 'gw-1']) {
    await until(`the lease of ${brokerId}`, async () => (await store.lease(brokerId))?.brokerId === brokerId, BACK_MS)
  }
}

/** Redis is away for longer than the leases live. */
async function interruptRedis(cluster: TestCluster, { bob, carol }: People, signal?: NodeJS.Signals) {
  await cluster.redis.stop(signal)
  const pending = bob.client.send('alice', 'meanwhile 1')
  for (const brokerId of ['gw-0', 'gw-1']) {
    await until(`${brokerId} knows that all lack it, and stays ready`, async () => {
      const { status, body } = await readiness(cluster.gateway(brokerId))
      return status === 200 && /^ok\nRedis does not answer; (the|no) other gateway/.test(body)
    })
  }
  const refused = await carol.send('alice', 'refused')
  assert.equal(refused.type === 'error' && refused.code, 4001, 'unavailable')
  await delay(LEASE_MS)

  await cluster.redis.start()
  return pending
}

describe('Redis is restarted', () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`by ${signal} and kept its data: no connection closes, sends wait and are accepted once`, async () => {
      await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
      await using people = await connectPeople(cluster)
      const { phone, web, bob, before } = people
      await using dave = await Device.open([cluster.gateway('gw-0')], { user: 'dave' })
      // Some of these are on their way when Redis goes: whether it has taken them is not known, and they are repeated.
      const traffic = startTraffic(bob, 'alice', 5)
      await until('traffic flows', () => web.received.length > 10)
      const meanwhile = await interruptRedis(cluster, { ...people, bob: dave }, signal)
      const inTraffic = await traffic.stop()
      await awaitSessions(cluster, [...idsOf(people), dave.connectionId])
      for (const gateway of cluster.gateways) await gateway.ready(PATIENCE_MS)

      const accepted = [before, meanwhile, ...inTraffic, await dave.client.send('alice', 'meanwhile 2')]
      for (const device of [phone, web]) {
        await device.has(accepted)
        assertDelivered(device, accepted)
        assert.equal(device.received.length, accepted.length)
        assert.deepEqual(device.gaps, [])
      }
      assertUndisturbed(people)
    })
  }

  it('and lost its data: no connection closes, devices are told, sessions are back and messages arrive', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env, persistent: false })
    await using people = await connectPeople(cluster)
    await interruptRedis(cluster, people)
    await awaitSessions(cluster, idsOf(people))

    const { phone, web, bob } = people
    await bob.client.send('alice', 'after')
    for (const device of [phone, web]) {
      await until(`${device.name} has it`, () => device.texts.at(-1) === 'after')
      assert.deepEqual(device.texts, ['before', 'meanwhile 1', 'after'])
      assert.deepEqual(
        device.gaps.map(({ reason }) => reason),
        ['reset'],
      )
    }
    assertUndisturbed(people)
  })
})

describe('Redis is flushed', () => {
  it('no connection closes, devices are told of the loss, sessions are back and messages arrive', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    await using people = await connectPeople(cluster)
    await cluster.store.redis.flushall()
    await awaitSessions(cluster, idsOf(people))

    const { phone, web, bob, carol } = people
    // Also a device that gets no message.
    await carol.waitFor('gap', ({ reason }) => reason === 'reset', BACK_MS)
    for (const device of [phone, web]) await until('the gap', () => device.gaps.length > 0, BACK_MS)
    for (const text of ['one', 'two']) await bob.client.send('alice', text)
    for (const device of [phone, web]) {
      await until(`${device.name} has them`, () => device.texts.at(-1) === 'two')
      assert.deepEqual(device.texts, ['before', 'one', 'two'])
      assert.deepEqual(
        device.gaps.map(({ reason }) => reason),
        ['reset'],
      )
      assert.deepEqual(
        device.received.slice(1).map(({ seq }) => seq),
        [1, 2],
      )
    }
    assertUndisturbed(people)

    // What the devices acknowledge from now on counts in the new epoch.
    const { redis, keys } = cluster.store
    const alice = { appId: 1, userId: 'alice' }
    const epoch = phone.gaps[0]?.epoch ?? assert.fail()
    for (const field of ['1:web', '1:phone']) {
      await until(`the cursor of ${field}`, async () => (await redis.hget(keys.cursors(alice), field)) === `${epoch}:2`)
    }
  })
})
