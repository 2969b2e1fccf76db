import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { formerIncarnations } from './cleanup.ts'
import { BrokerLease, readLeases } from './lease.ts'
import { createIncarnation, freshKeys, openRedis } from '../test-kit.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const load = { state: 'ready', connections: 3 } as const
const options = { leaseMs: 2_000, marginMs: 100 }

test('a free lease is taken, renewed with the load, read and released', async () => {
  const keys = freshKeys()
  const incarnation = createIncarnation()
  const lease = new BrokerLease(redis, keys, incarnation)
  await lease.acquire()
  const leases = await readLeases(redis, keys, ['im-0', 'im-1'])
  const acquiredAt = leases.get('im-0')?.acquiredAt ?? assert.fail()
  assert.deepEqual(leases, new Map([['im-0', { ...incarnation, state: 'starting', connections: 0, acquiredAt }]]))
  assert.equal(await lease.renew(load), 'renewed')
  assert.deepEqual((await readLeases(redis, keys, ['im-0'])).get('im-0'), { ...incarnation, ...load, acquiredAt })
  const ttl = await redis.pttl(keys.lease('im-0'))
  assert.ok(ttl > 5000 && ttl <= 6000)
  assert.deepEqual(await formerIncarnations(redis, keys, 'im-0', 'other'), [incarnation])
  assert.equal(await lease.release(), true)
  assert.equal((await readLeases(redis, keys, ['im-0'])).size, 0)
  assert.equal((await formerIncarnations(redis, keys, 'im-0', 'other')).length, 1, 'until it is cleaned')
})

test('a gateway that is never cleaned up after leaves nothing for ever: register and index end long after its last renewal', async () => {
  const keys = freshKeys()
  const incarnation = createIncarnation()
  const lease = new BrokerLease(redis, keys, incarnation)
  await lease.acquire()
  const index = keys.index('im-0', incarnation.bootId)
  await redis.sadd(index, '1:alice:1:phone')
  for (const renewal of ['renewed', 'recreated', 'renewed']) {
    assert.equal(await lease.renew(load), renewal)
    if (renewal === 'renewed') await redis.del(keys.lease('im-0'))
  }
  const days = (await Promise.all([index, keys.brokers()].map((key) => redis.pttl(key)))).map((ms) => ms / 86_400_000)
  assert.ok(
    days.every((left) => left > 89 && left <= 90),
    days.join(),
  )
})

test('another pod waits for the lease to run out', async () => {
  const keys = freshKeys()
  await new BrokerLease(redis, keys, createIncarnation(), options).acquire()
  const successor = createIncarnation()
  await new BrokerLease(redis, keys, successor, options).acquire()
  assert.equal((await readLeases(redis, keys, ['im-0'])).get('im-0')?.bootId, successor.bootId)
})

test('another pod is refused by name while the holder renews, and leaves no entry behind', async () => {
  const keys = freshKeys()
  const holder = createIncarnation()
  const lease = new BrokerLease(redis, keys, holder, options)
  await lease.acquire()
  const renewing = setInterval(() => void lease.renew(load), 20)
  try {
    const rival = new BrokerLease(redis, keys, createIncarnation(), options)
    const message = new RegExp(`im-0.*${holder.podUid}.*${holder.bootId}.*10\\.0\\.0\\.1`)
    await assert.rejects(rival.acquire(), { code: 'broker_id_in_use', retryable: false, message })
    assert.deepEqual(await formerIncarnations(redis, keys, 'im-0', ''), [holder])
  } finally {
    clearInterval(renewing)
  }
})

test('a wait for the lease ends with its signal', async () => {
  const keys = freshKeys()
  await new BrokerLease(redis, keys, createIncarnation()).acquire()
  const stop = new AbortController()
  const waiting = new BrokerLease(redis, keys, createIncarnation()).acquire(stop.signal)
  setImmediate(() => stop.abort())
  await assert.rejects(waiting, { name: 'AbortError' })
})

test('a new boot of the same pod takes over at once, and the former one learns of it', async () => {
  const keys = freshKeys()
  const former = createIncarnation()
  const old = new BrokerLease(redis, keys, former, { leaseMs: 60_000 })
  await old.acquire()
  const next = createIncarnation('im-0', former.podUid)
  const started = performance.now()
  await new BrokerLease(redis, keys, next).acquire()
  assert.ok(performance.now() - started < 30_000, 'no wait for the lease of a minute')
  const result = await old.renew(load)
  assert.ok(typeof result === 'object')
  const { acquiredAt, ...replacedBy } = result.replacedBy
  assert.ok(acquiredAt)
  assert.deepEqual(replacedBy, { ...next, state: 'starting', connections: 0 })
  assert.equal(await old.release(), false, 'a lease of another boot is not released')
  assert.equal((await readLeases(redis, keys, ['im-0'])).get('im-0')?.bootId, next.bootId)
})

test('a lease and an entry that Redis lost are written again, and the caller knows', async () => {
  const keys = freshKeys()
  const incarnation = createIncarnation()
  const lease = new BrokerLease(redis, keys, incarnation)
  await lease.acquire()
  await redis.del(keys.lease('im-0'), keys.brokers())
  assert.equal(await lease.renew(load), 'recreated')
  assert.equal(await lease.renew(load), 'renewed')
  assert.deepEqual(await formerIncarnations(redis, keys, 'im-0', ''), [incarnation])
  await redis.del(keys.brokers())
  assert.equal(await lease.renew(load), 'renewed')
  assert.deepEqual(await formerIncarnations(redis, keys, 'im-0', ''), [incarnation])
})

test('a lease that Redis was set back to ends nobody who got it later', async () => {
  const keys = freshKeys()
  await new BrokerLease(redis, keys, createIncarnation(), options).acquire()
  const setBackTo = (await redis.get(keys.lease('im-0'))) ?? assert.fail()
  const incarnation = createIncarnation()
  const lease = new BrokerLease(redis, keys, incarnation, options)
  await lease.acquire()
  await redis.set(keys.lease('im-0'), setBackTo)
  assert.equal(await lease.renew(load), 'recreated')
  assert.equal((await readLeases(redis, keys, ['im-0'])).get('im-0')?.bootId, incarnation.bootId)
  // One that does not say when, of a former release, may be the successor.
  await redis.set(keys.lease('im-0'), JSON.stringify({ ...createIncarnation(), state: 'ready', connections: 0 }))
  assert.ok(typeof (await lease.renew(load)) === 'object')
})

test('a lease counts as held when it says by whom, whatever else is in it; else it is free', async () => {
  const keys = freshKeys()
  const { brokerId, podUid, bootId } = createIncarnation()
  const lease = new BrokerLease(redis, keys, createIncarnation(), { leaseMs: 2_000, marginMs: 10 })
  await redis.set(keys.lease('im-0'), JSON.stringify({ brokerId, podUid, bootId, state: 'new', load: {} }))
  await assert.rejects(lease.acquire(), { code: 'broker_id_in_use', message: new RegExp(bootId) })
  assert.ok(typeof (await lease.renew(load)) === 'object')
  await redis.set(keys.lease('im-0'), '{"brokerId":"im-0"}')
  await lease.acquire()
  assert.equal(await lease.renew(load), 'renewed')
})
