import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Redis } from 'ioredis'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { cleanIncarnation, formerIncarnations } from './cleanup.ts'
import { devicePolicies } from '../device-policy.ts'
import { Directory } from '../directory.ts'
import { BrokerLease } from './lease.ts'
import { createDraft, createIncarnation, freshKeys, openRedis } from '../test-kit.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const kept = { offlineRetentionMs: 7_200_000 }
const user = { appId: 1, userId: 'alice' }

async function setUp() {
  const keys = freshKeys()
  const directory = new Directory(redis, keys, devicePolicies.unlimited)
  const dead = createIncarnation()
  const lease = new BrokerLease(redis, keys, dead)
  await lease.acquire()
  const clean = (graceMs = 60_000) => cleanIncarnation(redis, keys, dead, { ...kept, graceMs, batch: 10 })
  const left = async () => ({
    index: await redis.exists(keys.index(dead.brokerId, dead.bootId)),
    register: (await formerIncarnations(redis, keys, dead.brokerId, '')).filter(({ bootId }) => bootId === dead.bootId)
      .length,
  })
  return { keys, directory, dead, lease, clean, left }
}

/** The client of a process that dies in the middle: after so many calls. */
function dieAfter(calls: number): typeof redis {
  let left = calls
  return new Proxy(redis, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      if (/^(fcall|sscan|hget|pipeline|scard|unlink|srem|get)$/.test(String(name)) && (left -= 1) < 0)
        throw new Error('killed')
      return value.bind(target) as unknown
    },
  })
}

test('everything that an incarnation left is removed, in two passes', async () => {
  const { directory, dead, lease, clean, left, keys } = await setUp()
  const users = Array.from({ length: 300 }, (_, at) => ({ appId: 1, userId: `user-${at}` }))
  const sessions = await Promise.all(users.map(async (of) => (await directory.login(createDraft(of, dead))).session))
  await Promise.all(sessions.slice(0, 50).map((session) => directory.setOffline(session)))
  await lease.release()
  const { waitMs, ...first } = await clean()
  assert.deepEqual(first, { removed: 300, removedInAll: 300, orphans: 0, finished: false })
  assert.equal(waitMs, 60_000)
  assert.deepEqual(await redis.exists(...users.map((of) => keys.sessions(of))), 0)
  assert.deepEqual(await left(), { index: 1, register: 1 }, 'kept for what a frozen process may still write')
  const second = await clean()
  assert.deepEqual([second.removed, second.removedInAll, second.finished], [0, 300, false])
  assert.ok(second.waitMs > 0 && second.waitMs <= 60_000)
  assert.deepEqual(await clean(0), { removed: 0, removedInAll: 300, orphans: 0, finished: true, waitMs: 0 })
  assert.deepEqual(await left(), { index: 0, register: 0 })
  const again = { removed: 0, removedInAll: 0, orphans: 0, finished: true, waitMs: 0 }
  assert.deepEqual(await clean(), again, 'and again')
  assert.deepEqual(await left(), { index: 0, register: 0 })
})

test('it takes few commands, and none that holds up Redis for long', async () => {
  const { directory, dead, lease, keys } = await setUp()
  const users = Array.from({ length: 300 }, (_, at) => ({ appId: 1, userId: `user-${at}` }))
  await Promise.all(users.map((of) => directory.login(createDraft(of, dead))))
  await lease.release()
  assert.ok(redis instanceof Redis)
  const source = redis.duplicate({ enableOfflineQueue: true })
  const monitor = await source.monitor()
  const commands: string[][] = []
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  monitor.on('monitor', (_time: string, command: string[]) => {
    if (command[1] === 'the end') end()
    // What functions do is shown, too, in capitals.
    else if (/^[a-z]/.test(command[0] ?? '')) commands.push(command)
  })
  const { removed } = await cleanIncarnation(redis, keys, dead, kept)
  await redis.get('the end')
  await ended
  monitor.disconnect()
  source.disconnect()
  assert.equal(removed, 300)
  assert.ok(commands.length < 60, `${commands.length} commands`)
  const sizes = commands.flatMap(([name, , size]) => (name === 'fcall' ? Number(size) : []))
  assert.ok(sizes.some((size) => size > 1))
  assert.ok(Math.max(...sizes) <= 20, `a call about ${Math.max(...sizes)} sessions`)
})

test('a session that a frozen process wrote after the first pass is removed by the last', async () => {
  const { directory, dead, lease, clean, left } = await setUp()
  await directory.login(createDraft({}, dead))
  await lease.release()
  assert.equal((await clean()).removed, 1)
  await directory.login(createDraft({}, dead))
  assert.deepEqual(await clean(0), { removed: 1, removedInAll: 2, orphans: 0, finished: true, waitMs: 0 })
  assert.deepEqual(await directory.sessionsOf([user]), [[]])
  assert.deepEqual(await left(), { index: 0, register: 0 })
})

test('no session of another incarnation is touched, least of all of the same name (I2)', async () => {
  const { directory, dead, clean, keys } = await setUp()
  await directory.login(createDraft({ imei: 'moved' }, dead))
  await directory.login(createDraft({ imei: 'left' }, dead))
  const next = createIncarnation('im-0', dead.podUid)
  await new BrokerLease(redis, keys, next).acquire()
  const moved = (await directory.login(createDraft({ imei: 'moved' }, next))).session
  const bystander = (await directory.login(createDraft({ imei: 'x' }, createIncarnation('im-1')))).session
  const results = await Promise.all([clean(), clean()])
  assert.equal(results[0].removed + results[1].removed, 1)
  assert.equal((await clean()).removedInAll, 1, 'the register has the sum of both')
  await Promise.all([clean(0), clean(0)])
  assert.equal((await clean(0)).finished, true)
  assert.deepEqual(new Set((await directory.sessionsOf([user]))[0]), new Set([moved, bystander]))
  assert.deepEqual(await formerIncarnations(redis, keys, 'im-0', dead.bootId), [next])
  assert.equal(await redis.scard(keys.index('im-0', next.bootId)), 1)
})

test('a session that goes on elsewhere after a pass has found it is left alone', async () => {
  const { directory, dead, lease, keys } = await setUp()
  await directory.login(createDraft({ imei: 'moves' }, dead))
  await directory.login(createDraft({ imei: 'stays', connectionId: 'with a "quote"' }, dead))
  await lease.release()
  let moved: unknown
  const meanwhile = new Proxy(redis, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      if (name !== 'fcall') return value.bind(target) as unknown
      return async (...args: unknown[]) => {
        // Found, not yet removed.
        if (String(args[0]).includes('note_removed')) {
          moved = (await directory.login(createDraft({ imei: 'moves' }, createIncarnation('im-1')))).session
        }
        return value.apply(target, args) as unknown
      }
    },
  })
  assert.equal((await cleanIncarnation(meanwhile, keys, dead, kept)).removed, 1)
  assert.deepEqual(await directory.sessionsOf([user]), [[moved]])
})

test('what was removed is summed up over the passes, whoever makes them', async () => {
  const { directory, dead, lease, clean } = await setUp()
  await lease.release()
  for (const [graceMs, inAll] of [
    [60_000, 1],
    [60_000, 2],
    [0, 3],
  ] as const) {
    await directory.login(createDraft({}, dead))
    const { removed, removedInAll } = await clean(graceMs)
    assert.deepEqual([removed, removedInAll], [1, inAll])
  }
})

test('a pass that breaks off anywhere counts, and what it has removed counts once', async () => {
  const users = 6
  for (let calls = 1; ; calls += 1) {
    const { directory, dead, lease, clean, keys } = await setUp()
    for (let at = 0; at < users; at += 1) await directory.login(createDraft({ userId: `u${at}` }, dead))
    await lease.release()
    const dies = dieAfter(calls)
    const ended = await cleanIncarnation(dies, keys, dead, { ...kept, batch: 2 }).then(
      () => true,
      () => false,
    )
    assert.equal((await clean()).removedInAll, users, `killed after ${calls} calls`)
    assert.equal(await redis.exists(keys.removed(dead.brokerId, dead.bootId)), 1)
    assert.ok((await redis.pttl(keys.removed(dead.brokerId, dead.bootId))) > 0, 'the count runs out')
    assert.equal((await clean(0)).finished, true)
    assert.equal(await redis.exists(keys.removed(dead.brokerId, dead.bootId)), 0)
    if (ended) break
  }
})

test('a last pass that breaks off anywhere leaves nothing that nobody comes for again', async () => {
  for (let calls = 1; ; calls += 1) {
    const { directory, dead, lease, clean, left, keys } = await setUp()
    await directory.login(createDraft({}, dead))
    await lease.release()
    await clean()
    const ended = await cleanIncarnation(dieAfter(calls), keys, dead, { ...kept, graceMs: 0 }).then(
      () => true,
      () => false,
    )
    const { register } = await left()
    const noted = () => redis.exists(keys.removed(dead.brokerId, dead.bootId))
    if (register === 0) assert.equal(await noted(), 0, `broken off after ${calls} calls`)
    assert.equal((await clean(0)).finished, true)
    assert.equal(await noted(), 0)
    if (ended) break
  }
})

test('of two who clean at once, the slow one does not bring back what the other has ended', async () => {
  for (let round = 0; round < 10; round += 1) {
    const { directory, dead, lease, clean, left, keys } = await setUp()
    await Promise.all(Array.from({ length: 100 }, (_, at) => directory.login(createDraft({ userId: `u${at}` }, dead))))
    await lease.release()
    const slow = cleanIncarnation(redis, keys, dead, { ...kept, batch: 1 })
    while (!(await clean(0)).finished);
    await slow
    assert.deepEqual(await left(), { index: 0, register: 0 })
  }
})

test('an incarnation whose lease runs is not cleaned', async () => {
  const { directory, dead, clean, left } = await setUp()
  const { session } = await directory.login(createDraft({}, dead))
  await assert.rejects(clean(), { code: 'incarnation_alive', retryable: true })
  assert.deepEqual(await directory.sessionsOf([user]), [[session]])
  assert.deepEqual(await left(), { index: 1, register: 1 })
})

test('a process that wakes after the first pass is alive again: its mark is gone and its sessions come back', async () => {
  const { directory, dead, lease, clean, keys } = await setUp()
  const { session } = await directory.login(createDraft({}, dead))
  await redis.del(keys.lease('im-0'))
  assert.equal((await clean()).removed, 1)
  assert.equal(await lease.renew({ state: 'ready', connections: 1 }), 'recreated')
  assert.equal((await directory.reassert(session)).kept, true)
  await assert.rejects(clean(0), { code: 'incarnation_alive' })
  assert.deepEqual(await formerIncarnations(redis, keys, 'im-0', ''), [dead], 'without a mark')
  await lease.release()
  assert.equal((await clean(0)).finished, false, 'its end begins with a first pass again')
})

test('an incarnation that is in no register is found by its index', async () => {
  const { directory, dead, lease, clean, left, keys } = await setUp()
  await directory.login(createDraft({}, dead))
  await lease.release()
  await redis.del(keys.brokers())
  assert.equal((await clean()).removed, 1)
  assert.deepEqual(await left(), { index: 1, register: 1 })
  assert.equal((await clean(0)).finished, true)
})

test('what cannot be read is counted as an orphan and does not stop the cleanup', async () => {
  const { directory, dead, lease, clean, keys, left } = await setUp()
  await directory.login(createDraft({}, dead))
  await directory.login(createDraft({ imei: 'broken' }, dead))
  await redis.hset(keys.sessions(user), '1:broken', '{')
  await redis.sadd(keys.index('im-0', dead.bootId), 'no member')
  await lease.release()
  const { removed, orphans } = await clean()
  assert.deepEqual({ removed, orphans }, { removed: 1, orphans: 2 })
  assert.equal((await clean(0)).finished, true)
  assert.deepEqual(await left(), { index: 0, register: 0 })
})

test('a cleanup stops at its signal and goes on later', async () => {
  const { directory, dead, lease, clean, keys } = await setUp()
  await directory.login(createDraft({}, dead))
  await lease.release()
  await assert.rejects(cleanIncarnation(redis, keys, dead, { ...kept, signal: AbortSignal.abort() }), {
    name: 'AbortError',
  })
  assert.equal((await clean(0)).removed, 1)
})

test('what is left of a user ends with the retention of offline sessions that the cleanup is given', async () => {
  const { keys, directory, dead, lease, clean } = await setUp()
  await directory.login(createDraft({}, dead))
  const elsewhere = await directory.login(createDraft({ imei: 'other' }))
  await directory.setOffline(elsewhere.session)
  await lease.release()
  assert.equal((await clean()).removed, 1)
  const left = await redis.pttl(keys.sessions(user))
  assert.ok(left > 3_600_000 && left <= kept.offlineRetentionMs, `${left} ms`)
})
