import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { cleanIncarnation } from '../../session/brokers/cleanup.ts'
import { devicePolicies } from '../../session/device-policy.ts'
import { Directory } from '../../session/directory.ts'
import { BrokerLease } from '../../session/brokers/lease.ts'
import { createDraft, createIncarnation, freshKeys, openRedis } from '../../session/test-kit.ts'
import { cleanDeadBrokers, type CleanupContext } from './broker-cleanup.ts'
import type { PodFacts } from '../reads/pod.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

/** A gateway that has been there for a while, and whose container runs as far as the API server knows. */
async function setUp() {
  const keys = freshKeys()
  const incarnation = { ...createIncarnation('im-0'), startedAt: Date.now() - 3_600_000 }
  const lease = new BrokerLease(redis, keys, incarnation)
  await lease.acquire()
  const running: PodFacts = {
    uid: incarnation.podUid,
    gateway: { runningSince: new Date(incarnation.startedAt - 2_000) },
  }
  const retention = { offlineRetentionMs: 1_000 }
  const look = (more: Partial<CleanupContext> = {}) =>
    cleanDeadBrokers({
      redis,
      keys,
      clusterName: 'im',
      readPod: () => Promise.resolve(running),
      known: [],
      recorded: new Map(),
      ...retention,
      signal: new AbortController().signal,
      ...more,
    })
  /** What is lost for people, and what leaves. */
  const judge = async (more?: Partial<CleanupContext>) => {
    const { lost, departed } = await look(more)
    return [lost.filter(({ proved }) => !proved).length, departed.map(({ bootId }) => bootId)]
  }
  const clean = () => cleanIncarnation(redis, keys, incarnation, { ...retention, graceMs: 0 })
  return { keys, incarnation, lease, running, look, judge, clean }
}

test('a gateway that leaves in good order is never lost, at whatever step of its leaving the operator looks', async () => {
  const { keys, incarnation, lease, judge, clean } = await setUp()
  const known = [{ brokerId: 'im-0', podUid: incarnation.podUid, bootId: incarnation.bootId }]
  const leaves = [0, [incarnation.bootId]]
  const directory = new Directory(redis, keys, devicePolicies.unlimited)
  await directory.login(createDraft({}, incarnation))
  assert.deepEqual(await judge({ known }), [0, []])
  await lease.announceLeaving()
  assert.deepEqual(await judge({ known }), [0, []])
  await lease.release()
  assert.deepEqual(await judge({ known }), leaves)
  await clean()
  assert.deepEqual(await judge({ known }), leaves)
  await clean()
  assert.deepEqual(await judge({ known }), leaves)
})

test('a gateway that leaves while the operator looks, after the register is read and before its pod is, is not lost', async () => {
  for (const toTheEnd of [false, true]) {
    const { incarnation, lease, running, judge, clean } = await setUp()
    // As if the lease had been read just after its release, and the register just before the announcement.
    await lease.release()
    const readPod = async () => {
      await lease.announceLeaving()
      if (toTheEnd) for (let pass = 0; pass < 2; pass += 1) await clean()
      return running
    }
    assert.deepEqual(await judge({ readPod }), [0, [incarnation.bootId]])
  }
})

test('a gateway whose pod is being deleted is not lost for as long as that may take, unless it was lost before', async () => {
  const { incarnation, lease, running, judge } = await setUp()
  // Of 0.2.0, which announces nothing.
  await lease.release()
  const deleted = (ms: number, state?: 'lost') => {
    const pod = { ...running, endsBy: new Date(Date.now() + ms) }
    const known = [
      { brokerId: 'im-0', podUid: incarnation.podUid, bootId: incarnation.bootId, ...(state && { state }) },
    ]
    return judge({ readPod: () => Promise.resolve(pod), known })
  }
  assert.deepEqual(await deleted(30_000), [0, [incarnation.bootId]])
  assert.equal((await deleted(-60_000))[0], 1)
  assert.equal((await deleted(30_000, 'lost'))[0], 1)
})

test('a gateway that starts and has no lease yet is not lost, and one whose pod runs its successor is not either', async () => {
  const { keys, incarnation, lease, judge } = await setUp()
  const successor = { ...createIncarnation('im-0', incarnation.podUid), startedAt: Date.now() }
  const next = new BrokerLease(redis, keys, successor)
  await next.acquire()
  assert.deepEqual(await judge(), [0, [incarnation.bootId]])
  await next.release()
  await redis.hdel(keys.brokers(), `im-0/${incarnation.bootId}`)
  assert.deepEqual(await judge(), [0, [successor.bootId]])
  await lease.register()
  assert.equal((await judge())[0], 1)
})

test('a gateway whose lease runs out while its container runs is lost, and nothing of it is touched', async () => {
  const { keys, incarnation, look } = await setUp()
  const { session } = await new Directory(redis, keys, devicePolicies.unlimited).login(createDraft({}, incarnation))
  await redis.del(keys.lease('im-0'))
  const { lost, departed, records } = await look()
  assert.equal(lost[0]?.proved, false)
  assert.deepEqual([departed, records], [[], []])
  assert.equal(await redis.hlen(keys.sessions(session)), 1)
  await redis.hset(keys.brokers(), `im-0/${incarnation.bootId}`, JSON.stringify({ ...incarnation, leftAt: 1 }))
  assert.equal((await look()).lost.length, 1, 'also when it began to leave and did not come to an end')
})

test('the register remembers a dead gateway until its record is made, however long that takes', async () => {
  const { keys, incarnation, lease, look } = await setUp()
  await new Directory(redis, keys, devicePolicies.unlimited).login(createDraft({}, incarnation))
  await lease.release()
  const readPod = () => Promise.resolve(undefined)
  const first = await look({ readPod })
  assert.equal(first.records[0]?.sessionsRemoved, 1)
  // The operator was killed before it wrote that, and the next one comes long after the grace.
  const entry = JSON.parse((await redis.hget(keys.brokers(), `im-0/${incarnation.bootId}`)) ?? '') as {
    cleanedAt: number
  }
  const old = { ...entry, cleanedAt: entry.cleanedAt - 3_600_000 }
  await redis.hset(keys.brokers(), `im-0/${incarnation.bootId}`, JSON.stringify(old))
  for (let pass = 0; pass < 2; pass += 1) {
    const { records, registered } = await look({ readPod })
    assert.deepEqual([records[0]?.sessionsRemoved, registered.length], [1, 1])
  }
  const { records } = await look({ readPod, recorded: new Map([[incarnation.bootId, 1]]) })
  assert.deepEqual([records.length, await redis.exists(keys.brokers())], [0, 0])
})
