import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { BrokerLease, readLeases } from '../../session/brokers/lease.ts'
import { createIncarnation, freshKeys, openRedis } from '../../session/test-kit.ts'
import { judgeDurable } from './durable.ts'
import type { Observation } from './observation.ts'

const server = await startRedis({ persistent: false })
after(() => server[Symbol.asyncDispose]())

/** The cluster of gateways that say this of Redis in their leases. */
async function observe(...said: readonly (boolean | undefined)[]): Promise<Observation> {
  await using connection = await openRedis(server.url)
  const { redis } = connection
  const keys = freshKeys()
  const pods: { metadata: { name: string; uid: string } }[] = []
  for (const [at, redisPersistent] of said.entries()) {
    const incarnation = createIncarnation(`im-${at}`)
    const lease = new BrokerLease(redis, keys, incarnation)
    await lease.acquire()
    await lease.renew({ state: 'ready', connections: 0, redisPersistent })
    pods.push({ metadata: { name: `im-${at}`, uid: incarnation.podUid } })
  }
  const leases = await readLeases(
    redis,
    keys,
    pods.map(({ metadata }) => metadata.name),
  )
  const round = { leases, registered: [], records: [], lost: [], departed: [], unrecorded: [], waitMs: undefined }
  return { pods, directory: { round } } as unknown as Observation
}

test('a Redis that keeps nothing is named by the condition, with what to do, once a gateway says so', async () => {
  const { status, reason, message } = judgeDurable(await observe(undefined, true, false), undefined)
  assert.deepEqual([status, reason], ['False', 'RedisKeepsNothing'])
  assert.match(message, /neither an append-only file nor a replica.*; set appendonly yes, or add a replica/)
  assert.equal(judgeDurable(await observe(true, undefined), undefined).status, 'True')
})

test('what nobody tells is unknown at first, and then stays as it was last known', async () => {
  assert.equal(judgeDurable(await observe(undefined), undefined).status, 'Unknown')
  const former = judgeDurable(await observe(true), undefined)
  assert.deepEqual(judgeDurable(await observe(), former), former)
  const away = { pods: [], directory: { fault: { reason: 'RedisUnavailable', message: '' } } } as unknown as Observation
  assert.deepEqual(judgeDurable(away, former), former)
})
