import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { after, afterEach, beforeEach, test } from 'node:test'
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { cleanIncarnation } from '../brokers/cleanup.ts'
import { devicePolicies } from '../device-policy.ts'
import { Directory } from '../directory.ts'
import { Inbox } from '../inbox/inbox.ts'
import { Keys } from '../keys.ts'
import { BrokerLease } from '../brokers/lease.ts'
import type { SessionError, SessionErrorCode } from '../errors.ts'
import { translateError } from './redis-errors.ts'
import {
  awaitReady,
  checkWritable,
  closeRedis,
  connectRedis,
  isUnavailable,
  readReplids,
  type RedisClient,
} from './redis.ts'
import { createDraft, createIncarnation, createSession, freshKeys } from '../test-kit.ts'
import type { UserRef } from '../user-session.ts'

const COMMAND_TIMEOUT_MS = 1000
const server = await startRedis()
after(() => server[Symbol.asyncDispose]())

const to = { appId: 1, userId: 'alice' }
let redis: RedisClient
let errors: SessionError[]

function open(url = server.url): RedisClient {
  errors = []
  return connectRedis(url, {
    connectionName: 'test',
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
    onError: (error) => errors.push(error),
  })
}

beforeEach(async () => {
  redis = open()
  await awaitReady(redis, 60_000)
})
afterEach(() => closeRedis(redis))

function setUp() {
  const keys = freshKeys()
  const inbox = new Inbox(redis, keys)
  const directory = new Directory(redis, keys, devicePolicies.unlimited)
  let count = 0
  const append = (payload = 'hi') =>
    inbox.append({ to, from: 'bob', clientType: 1, messageId: `${++count}`, payload: Buffer.from(payload) })
  return { keys, inbox, directory, append }
}

/** A plain connection that puts the server's settings right in the end. */
function openAdmin() {
  const admin = new Redis(server.port, '127.0.0.1')
  return {
    redis: admin,
    async [Symbol.asyncDispose]() {
      await admin.replicaof('NO', 'ONE')
      await admin.config('SET', 'maxmemory', '0', 'requirepass', '', 'replica-serve-stale-data', 'yes')
      admin.disconnect()
    },
  }
}

/** events.once, but errors of the connection are expected. */
function next(event: 'close' | 'reconnecting', client = redis): Promise<unknown> {
  return new Promise((resolve) => {
    client.once(event, resolve)
  })
}

/** Fails unless the call is refused as retryable, and in time, also on a slow machine. */
async function assertAway(call: () => Promise<unknown>, code: SessionErrorCode = 'redis_unavailable') {
  const started = performance.now()
  await assert.rejects(call, { code, retryable: true })
  assert.ok(performance.now() - started < COMMAND_TIMEOUT_MS * 10)
}

test('functions go on after FUNCTION FLUSH, alone and in pipelines', async () => {
  const { inbox, directory, append } = setUp()
  const useAll = async () => {
    const { session } = await directory.login(createDraft())
    const { seq, epoch } = await append()
    const entry = { user: to, device: session, epoch, seq }
    await inbox.saveCursors([entry, { ...entry, device: { clientType: 2, imei: 'a' } }, { ...entry, seq: 0 }])
    assert.deepEqual((await directory.login(createDraft())).cursor, { epoch, seq })
    assert.equal((await inbox.read(to, seq - 1)).messages.length, 1)
    return entry
  }
  await useAll()
  await redis.function('FLUSH')
  const entry = await useAll()
  await redis.function('FLUSH')
  await append()
  await append()
  await inbox.saveCursors(Array.from({ length: 20 }, (_, at) => ({ ...entry, seq: entry.seq + (at % 3) })))
  assert.deepEqual((await directory.login(createDraft())).cursor?.seq, entry.seq + 2)
})

test('while Redis is away every call fails at once as one to be tried again; after its return all goes on', async () => {
  const { inbox, directory, append } = setUp()
  const { session } = await directory.login(createDraft())
  const { epoch } = await append()
  await server.stop()
  const entry = { user: to, device: session, epoch, seq: 1 }
  await assertAway(() => append())
  await assertAway(() => inbox.read(to, 0))
  await assertAway(() => inbox.saveCursors([entry, entry]))
  await assertAway(() => directory.login(createDraft()))
  await assertAway(() => directory.verify([{ user: to, sessions: [session] }]))
  await assertAway(() => awaitReady(redis, 50))
  await next('reconnecting')
  let attempts = 0
  redis.on('connecting', () => attempts++)
  const refused: unknown = await append().catch((error: unknown) => error)
  assert.ok(isUnavailable(refused) && !String(refused).includes('timed out'))
  assert.equal(attempts, 0, 'a call waits neither for its time-out nor for the next attempt to connect')
  await server.start()
  await awaitReady(redis, 60_000)
  // The first use of the functions on this server is in a pipeline.
  await inbox.saveCursors([entry, entry])
  assert.deepEqual((await directory.verify([{ user: to, sessions: [session] }]))[0]?.stale, [])
  assert.ok((await append()).seq >= 2)
  assert.ok(errors.length > 0 && errors.every(isUnavailable))
})

test('a frozen Redis fails calls after the command time-out and is used again when it goes on', async () => {
  const { append } = setUp()
  await append()
  process.kill(server.pid, 'SIGSTOP')
  try {
    const dropped = next('close')
    await assert.rejects(append(), { code: 'redis_unavailable', message: /timed out/ })
    await dropped
    await assertAway(() => append())
  } finally {
    process.kill(server.pid, 'SIGCONT')
  }
  await awaitReady(redis, 60_000)
  await append()
})

test('a command that was under way when Redis died is not sent again behind the caller’s back', async () => {
  const { keys } = setUp()
  process.kill(server.pid, 'SIGSTOP')
  // Nor does it wait for its time-out: the connection is gone.
  const lost = assert.rejects(
    redis.incr(keys.brokers()),
    (error) => isUnavailable(error) && !String(error).includes('timed out'),
  )
  await server.stop('SIGKILL')
  await lost
  await server.start()
  await awaitReady(redis, 60_000)
  assert.equal(await redis.get(keys.brokers()), null)
})

test('a Redis that takes no writes says why: no memory, a replica, no replicas', async () => {
  const { append, directory } = setUp()
  await using admin = openAdmin()
  await admin.redis.config('SET', 'maxmemory', '1')
  await assertAway(() => append(), 'redis_full')
  await assertAway(() => checkWritable(redis), 'redis_full')
  await assert.rejects(directory.login(createDraft()), isUnavailable)
  await admin.redis.config('SET', 'maxmemory', '0', 'min-replicas-to-write', '1')
  await assertAway(() => append(), 'redis_refuses_writes')
  await assertAway(() => checkWritable(redis), 'redis_refuses_writes')
  await admin.redis.config('SET', 'min-replicas-to-write', '0')
  await append()
  await checkWritable(redis)
  await admin.redis.replicaof('127.0.0.1', '1')
  const dropped = next('close')
  await assertAway(() => append(), 'redis_refuses_writes')
  // It reconnects, to find another primary.
  await dropped
  await awaitReady(redis, 60_000)
  await admin.redis.config('SET', 'replica-serve-stale-data', 'no')
  await assertAway(() => directory.sessionsOf([to]))
  await admin.redis.replicaof('NO', 'ONE')
  await awaitReady(redis, 60_000)
  await append()
})

test('a Redis without memory left still lets devices read, leave, and gateways keep their leases', async () => {
  const { keys, inbox, directory, append } = setUp()
  const lease = new BrokerLease(redis, keys, createIncarnation())
  await lease.acquire()
  const [stays, leaves] = [createDraft(), createDraft({ imei: 'other' })]
  const session = (await directory.login(stays)).session
  await directory.login(leaves)
  await append()
  await using admin = openAdmin()
  await admin.redis.config('SET', 'maxmemory', '1')
  assert.equal(await lease.renew({ state: 'ready', connections: 1 }), 'renewed')
  assert.equal((await inbox.read(to, 0)).messages.length, 1)
  assert.equal(await directory.setOffline(session), true)
  assert.equal(await directory.remove(leaves), true)
  await assertAway(() => append(), 'redis_full')
})

test('the rights that docs/operations.md names are enough', async () => {
  await using admin = openAdmin()
  const keys = new Keys('limited:')
  const rights = ['+@all', '-@admin', '-@dangerous', '+info', '+function|load']
  await admin.redis.acl('SETUSER', 'im', 'on', '>secret', 'resetkeys', '~limited:*', 'nocommands', ...rights)
  await admin.redis.function('FLUSH')
  const limited = open(server.url.replace('://', '://im:secret@'))
  try {
    await awaitReady(limited, 60_000)
    const incarnation = createIncarnation()
    const directory = new Directory(limited, keys, devicePolicies.unlimited)
    const inbox = new Inbox(limited, keys)
    const lease = new BrokerLease(limited, keys, incarnation)
    await lease.acquire()
    assert.equal(await lease.renew({ state: 'ready', connections: 1 }), 'renewed')
    const { session } = await directory.login(createDraft({}, incarnation))
    const { seq, epoch } = await inbox.append({
      to,
      from: 'bob',
      clientType: 1,
      messageId: '1',
      payload: Buffer.from('hi'),
    })
    await inbox.saveCursors([{ user: to, device: session, epoch, seq }])
    assert.equal((await inbox.read(to, 0)).messages.length, 1)
    assert.equal((await directory.readIndex(session, '0', 10)).entries.length, 1)
    assert.equal((await readReplids(limited)).length, 1)
    await directory.setOffline(session)
    await lease.release()
    const options = { graceMs: 0, offlineRetentionMs: 60_000 }
    await cleanIncarnation(limited, keys, incarnation, options)
    assert.equal((await cleanIncarnation(limited, keys, incarnation, options)).finished, true)
  } finally {
    await closeRedis(limited)
    await admin.redis.acl('DELUSER', 'im')
  }
})

test('an answer that no retry cures is not called unavailable, and shows no payload', async () => {
  const { keys, append } = setUp()
  await redis.set(keys.inbox(to), 'hidden content')
  const error: unknown = await append('hidden payload').catch((reason: unknown) => reason)
  assert.ok(error instanceof Error && 'code' in error)
  assert.equal(error.code, 'redis_foreign_key')
  assert.match(error.message, /^foreign data in Redis instead of an inbox \(test-[^)]*:inbox:list\); .*remove it$/)
  assert.equal(isUnavailable(error), false)
  const shown = inspect(error, { depth: 10, showHidden: true })
  assert.match(shown, /WRONGTYPE/)
  assert.ok(
    !shown.includes('hidden content') &&
      !shown.includes('hidden payload') &&
      !shown.includes(Buffer.from('hidden payload').toString('hex')),
  )
})

test('a foreign key of one user leaves the others as they are', async () => {
  const { keys, inbox, directory } = setUp()
  const found: string[] = []
  const watched = connectRedis(server.url, {
    connectionName: 'test',
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
    onError: (error) => errors.push(error),
    onForeignKey: ({ message }) => found.push(message),
  })
  await using stack = new AsyncDisposableStack()
  stack.defer(() => closeRedis(watched))
  await awaitReady(watched, 10_000)
  const [bob, carol] = ['bob', 'carol'].map((userId) => ({ appId: 1, userId })) as [UserRef, UserRef]
  const { session } = await directory.login(createDraft(carol))
  const { epoch } = await inbox.append({ to: carol, from: 'x', clientType: 1, messageId: '1', payload: Buffer.of(1) })
  await inbox.append({ to: bob, from: 'x', clientType: 1, messageId: '1', payload: Buffer.of(1) })
  const lost = createSession(bob)
  for (const key of [keys.cursors(bob), keys.sessions(bob), keys.inboxMeta(bob)]) await redis.set(key, 'foreign')
  const entry = { device: session, epoch, seq: 1 }
  await new Inbox(watched, keys).saveCursors([
    { ...entry, user: bob },
    { ...entry, user: carol },
  ])
  assert.deepEqual((await directory.login(createDraft(carol))).cursor, { epoch, seq: 1 })
  const verified = await new Directory(watched, keys, devicePolicies.unlimited).verify([
    { user: bob, sessions: [lost] },
    { user: carol, sessions: [session] },
  ])
  assert.deepEqual(
    verified.map((result) => [result.inbox?.epoch, result.stale]),
    [
      [undefined, []],
      [epoch, [session]],
    ],
  )
  for (const kind of ['the cursors of a user', 'the sessions of a user', 'the meta data of an inbox']) {
    assert.ok(
      found.some((message) => message.includes(kind)),
      kind,
    )
  }
})

test('a wrong password is reported without the password', async () => {
  await using admin = openAdmin()
  await admin.redis.config('SET', 'requirepass', 'right')
  const stranger = connectRedis(server.url.replace('://', '://:hidden@'), {
    connectionName: 'test',
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
    onError: (error) => errors.push(error),
  })
  try {
    await assertAway(() => awaitReady(stranger, 300))
  } finally {
    await closeRedis(stranger)
  }
  const shown = inspect(errors, { depth: 10, showHidden: true })
  assert.match(shown, /WRONGPASS/)
  assert.ok(!shown.includes('hidden'))
})

test('what answers and is no Redis is reported as that', async () => {
  const greeter = createServer((socket) => socket.on('error', () => undefined).end('INFO {"server_id":"nats"}\r\n'))
  await once(greeter.listen(0, '127.0.0.1'), 'listening')
  const stranger = open(`redis://127.0.0.1:${(greeter.address() as AddressInfo).port}`)
  try {
    await assertAway(() => awaitReady(stranger, 500))
  } finally {
    await closeRedis(stranger)
    greeter.close()
  }
  assert.deepEqual([...new Set(errors.map(({ message }) => message))], ['what answers is no Redis'])
})

test('a client closes in time: idle, while Redis is away, and while it is frozen', async () => {
  await closeRedis(redis)
  assert.equal(redis.status, 'end')
  await closeRedis(redis)
  const started = performance.now()
  const nowhere = open('redis://127.0.0.1:1')
  await next('reconnecting', nowhere)
  await closeRedis(nowhere, 60_000)
  const frozen = open()
  await awaitReady(frozen, 60_000)
  process.kill(server.pid, 'SIGSTOP')
  try {
    await closeRedis(frozen, 100)
  } finally {
    process.kill(server.pid, 'SIGCONT')
  }
  assert.ok(performance.now() - started < 30_000)
  await assertAway(() => frozen.ping().catch((error: unknown) => Promise.reject(translateError(error))))
})

test('Redis’ own "not now" is told from other errors', () => {
  const temporary = [
    'LOADING Redis is loading',
    'MASTERDOWN Link',
    'NOREPLICAS Not enough',
    'MISCONF Redis is configured',
  ]
  for (const message of [...temporary, 'ERR Error running script: @user_script:3: -OOM command not allowed']) {
    assert.equal(isUnavailable(new Error(message)), true, message)
  }
  for (const message of ['WRONGTYPE Operation', 'ERR unknown command', 'NOPERM this user']) {
    assert.equal(isUnavailable(new Error(message)), false, message)
  }
  assert.equal(isUnavailable('Connection is closed.'), false)
})

test('a Redis without functions is told what it lacks', () => {
  const { code, message } = translateError(new Error("ERR unknown command 'FCALL', with args beginning with: "))
  assert.deepEqual([code, message], ['redis_failed', 'Redis has no functions: use Redis 7.0 or later'])
})
