import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import { cleanIncarnation, readIncarnations } from '../../session/brokers/cleanup.ts'
import type { GatewayProcess } from '../kit/servers/gateway-process.ts'
import { RawClient } from '../kit/raw-login.ts'
import type { Store } from '../kit/store.ts'
import { bootIdOf, exitOf, readiness, TestCluster } from '../kit/test-cluster.ts'
import { PATIENCE_MS, until } from '../kit/wait.ts'

/** Each session of a user as `<imei>@<brokerId>`, sorted. */
async function placesOf(store: Store, userId: string): Promise<string[]> {
  return (await store.sessionsOf(userId)).map(({ imei, brokerId }) => `${imei}@${brokerId}`).toSorted()
}

/** The time by Redis' clock, in milliseconds. */
async function timeOf({ redis }: Store): Promise<number> {
  const [seconds, microseconds] = await redis.time()
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
}

async function registeredBoots(store: Store, brokerId: string): Promise<string[]> {
  const entries = await readIncarnations(store.redis, store.keys)
  return entries.filter((entry) => entry.brokerId === brokerId).map(({ bootId }) => bootId)
}

/** Kills a gateway that holds sessions of every kind; what it leaves in Redis stays. */
async function leaveSessions(
  cluster: TestCluster,
  dying: GatewayProcess,
  living: GatewayProcess,
): Promise<RawClient[]> {
  const { store } = cluster
  await RawClient.login(dying, { user: 'alice', imei: 'here' })
  const there = await RawClient.login(living, { user: 'alice', imei: 'there' })
  await RawClient.login(dying, { user: 'alice', imei: 'moved' })
  await RawClient.login(dying, { user: 'carol' })
  const gone = await RawClient.login(dying, { user: 'bob' })
  gone.destroy()
  await until('bob is stored as offline', async () => (await store.sessionsOf('bob'))[0]?.connectState === 2)
  dying.kill('SIGKILL')
  await exitOf(dying)
  // This device came back elsewhere before anybody has cleaned; the dead boot's index still names it.
  const moved = await RawClient.login(living, { user: 'alice', imei: 'moved' })
  assert.deepEqual(await placesOf(store, 'alice'), ['here@gw-0', 'moved@gw-1', 'there@gw-1'])
  return [there, moved]
}

describe('the same brokerId started again', () => {
  it('takes over at once from a former boot of its own pod, and cleans what that left and nothing else', async () => {
    // Waiting for such a lease would take longer than the test has.
    const env = { IM_LEASE_MS: '60000', IM_POD_UID: 'pod-a' }
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    const { store } = cluster
    const former = await bootIdOf(cluster.gateway('gw-0'))
    const living = await leaveSessions(cluster, cluster.gateway('gw-0'), cluster.gateway('gw-1'))

    const next = await cluster.startGateway('gw-0')
    const nextBoot = await bootIdOf(next)
    assert.equal((await store.lease('gw-0'))?.bootId, nextBoot)
    // Index and register stay for a grace: a process that was only frozen might write once more.
    const readEntry = async () =>
      (await readIncarnations(store.redis, store.keys)).find(({ bootId }) => bootId === former)
    await until('the first pass to leave its mark', async () => (await readEntry())?.cleanedAt !== undefined)
    assert.deepEqual((await store.traces(former)).toSorted(), ['index', 'register'], 'no session')
    assert.deepEqual(await placesOf(store, 'alice'), ['moved@gw-1', 'there@gw-1'])
    assert.deepEqual(await placesOf(store, 'bob'), [], 'offline sessions too')
    assert.deepEqual(await placesOf(store, 'carol'), [])
    const entry = await readEntry()
    assert.ok(entry)

    // The same devices log in at the new boot, under the same brokerId, and the last pass comes.
    await using here = await RawClient.login(next, { user: 'alice', imei: 'here' })
    await using carol = await RawClient.login(next, { user: 'carol' })
    const last = await cleanIncarnation(store.redis, store.keys, entry, { graceMs: 0, offlineRetentionMs: 60_000 })
    assert.deepEqual(last, { removed: 0, removedInAll: 3, orphans: 0, finished: true, waitMs: 0 })
    assert.deepEqual(await store.traces(former), [])
    assert.deepEqual(await placesOf(store, 'alice'), ['here@gw-0', 'moved@gw-1', 'there@gw-1'])
    assert.deepEqual(await placesOf(store, 'carol'), ['browser@gw-0'])
    assert.deepEqual(await registeredBoots(store, 'gw-0'), [nextBoot])

    const accepted = await carol.send('alice', 'to every device')
    assert.equal(accepted.type, 'accepted')
    for (const device of [here, ...living]) await device.waitFor('message')
    for (const device of living) await device[Symbol.asyncDispose]()
  })

  it('waits for the lease when it is another pod', async () => {
    const env = { IM_LEASE_MS: '3000' }
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    const { store } = cluster
    const former = await bootIdOf(cluster.gateway('gw-0'))
    const living = await leaveSessions(cluster, cluster.gateway('gw-0'), cluster.gateway('gw-1'))
    // Longer than a process takes to start, so that it has to wait.
    const leaseKey = store.keys.lease('gw-0')
    const endsAt = (await timeOf(store)) + 6_000
    await store.redis.pexpireat(leaseKey, endsAt)

    const starting = cluster.startGateway('gw-0', { IM_POD_UID: randomUUID() })
    await until('another boot holds the lease', async () => {
      const lease = await store.lease('gw-0')
      return lease !== undefined && lease.bootId !== former
    })
    assert.ok((await timeOf(store)) >= endsAt, 'it has waited for the end of the lease')
    await starting
    await until('the former sessions are gone', async () => (await placesOf(store, 'alice')).length === 2)
    await until('the former sessions are gone', async () => (await placesOf(store, 'bob')).length === 0)
    assert.deepEqual(await placesOf(store, 'alice'), ['moved@gw-1', 'there@gw-1'])
    for (const device of living) await device[Symbol.asyncDispose]()
  })

  it('gives up when a living process keeps renewing the lease, and leaves that one unharmed', async () => {
    const env = { IM_LEASE_MS: '1500' }
    await using cluster = await TestCluster.start({ gateways: ['gw-0'], env })
    const { store } = cluster
    const living = cluster.gateway('gw-0')
    const boot = await bootIdOf(living)
    await using alice = await RawClient.login(living, { user: 'alice' })

    const second = await cluster.startGateway('gw-0', {}, { skipReady: true })
    const fatal = await second.waitForLog(({ level }) => level === 60, PATIENCE_MS)
    assert.equal(fatal['code'], 'broker_id_in_use')
    assert.match(String(fatal['msg']), /gw-0 is held by another process.*boot/)
    assert.deepEqual(await exitOf(second), { code: 1, signal: null })

    assert.equal((await store.lease('gw-0'))?.bootId, boot)
    assert.deepEqual(await registeredBoots(store, 'gw-0'), [boot])
    assert.deepEqual(await placesOf(store, 'alice'), ['browser@gw-0'])
    assert.equal((await readiness(living)).status, 200)
    await using bob = await RawClient.login(living, { user: 'bob' })
    await bob.send('alice', 'still here')
    await alice.waitFor('message')
    assert.equal(alice.ending, 'open')
  })
})
