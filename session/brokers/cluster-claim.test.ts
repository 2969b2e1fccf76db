import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { claimCluster, isBrokerOf, releaseCluster } from './cluster-claim.ts'
import { BrokerLease } from './lease.ts'
import { createIncarnation, freshKeys, openRedis } from '../test-kit.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const here = { namespace: 'here', uid: 'uid-here' }
const there = { namespace: 'there', uid: 'uid-there' }
const nobody = { exists: () => false, isOwnPod: () => false }

test('a free name is claimed, and stays with its owner while that exists', async () => {
  const keys = freshKeys()
  assert.equal(await claimCluster(redis, keys, 'im', here, nobody), undefined)
  assert.equal(await claimCluster(redis, keys, 'im', here, nobody), undefined, 'again')
  const exists = { ...nobody, exists: ({ uid }: { uid: string }) => uid === here.uid }
  assert.deepEqual(await claimCluster(redis, keys, 'im', there, exists), { owner: here, brokers: [] })
  assert.equal(await claimCluster(redis, keys, 'chat', there, exists), undefined, 'another name is free')
  await redis.persist(keys.clusters())
  assert.equal(await claimCluster(redis, keys, 'im', here, exists), undefined)
  assert.ok((await redis.pttl(keys.clusters())) > 0, 'a claim that nobody looks after ends')
})

test('of many who claim at once, exactly one has the name', async () => {
  const keys = freshKeys()
  const owners = Array.from({ length: 20 }, (_, at) => ({ namespace: `n${at}`, uid: `uid-${at}` }))
  const exists = { ...nobody, exists: () => true }
  const rivals = await Promise.all(owners.map((owner) => claimCluster(redis, keys, 'im', owner, exists)))
  assert.equal(rivals.filter((rival) => rival === undefined).length, 1)
})

test('a claim whose owner is gone falls to the next once none of its brokers lives', async () => {
  const keys = freshKeys()
  await claimCluster(redis, keys, 'im', there, nobody)
  const broker = createIncarnation('im-3')
  const lease = new BrokerLease(redis, keys, broker)
  await lease.acquire()
  const rival = await claimCluster(redis, keys, 'im', here, nobody)
  assert.deepEqual([rival?.owner, rival?.brokers.map(({ brokerId }) => brokerId)], [there, ['im-3']])
  await lease.release()
  assert.equal(await claimCluster(redis, keys, 'im', here, nobody), undefined)
})

test('after Redis lost the claims, a name is not claimed over living brokers of another, but over own ones', async () => {
  const keys = freshKeys()
  const broker = createIncarnation('im-0')
  await new BrokerLease(redis, keys, broker).acquire()
  assert.deepEqual((await claimCluster(redis, keys, 'im', here, nobody))?.owner, undefined)
  assert.deepEqual(await redis.hgetall(keys.clusters()), {})
  const own = { ...nobody, isOwnPod: (podUid: string) => podUid === broker.podUid }
  assert.equal(await claimCluster(redis, keys, 'im', there, own), undefined)
})

test('a name is given back by its owner only', async () => {
  const keys = freshKeys()
  await claimCluster(redis, keys, 'im', here, nobody)
  await releaseCluster(redis, keys, 'im', there)
  assert.equal(await redis.hlen(keys.clusters()), 1)
  await releaseCluster(redis, keys, 'im', here)
  assert.equal(await redis.hlen(keys.clusters()), 0)
})

test('a claim that cannot be read is of nobody', async () => {
  const keys = freshKeys()
  await redis.hset(keys.clusters(), 'im', '{')
  assert.equal(await claimCluster(redis, keys, 'im', here, nobody), undefined)
})

test('a broker is of the cluster that it is named after, and of no other', () => {
  assert.ok(isBrokerOf('im', 'im-0') && isBrokerOf('im', 'im-12'))
  for (const brokerId of ['im-a-0', 'im-01', 'im-', 'im', 'ima-0']) assert.ok(!isBrokerOf('im', brokerId), brokerId)
})
