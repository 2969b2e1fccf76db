import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { findFreePort } from '../test/kit/servers/free-port.ts'
import { startServer, type ServerProcess } from '../test/kit/servers/server-process.ts'
import { cleanIncarnation, formerIncarnations } from './brokers/cleanup.ts'
import { devicePolicies } from './device-policy.ts'
import { Directory } from './directory.ts'
import { Inbox } from './inbox/inbox.ts'
import { BrokerLease, readLeases } from './brokers/lease.ts'
import { isUnavailable, readReplids, sendAll } from './redis/redis.ts'
import { createDraft, createIncarnation, freshKeys, openRedis } from './test-kit.ts'

const SLOTS = 16_384
const servers = await startCluster(3)
const { redis, ...client } = await openRedis(
  `redis-cluster://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
)
after(async () => {
  await client[Symbol.asyncDispose]()
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()))
})

/** Primaries that share all slots, without replicas. Resolves when all of them see the cluster as whole. */
async function startCluster(size: number): Promise<ServerProcess[]> {
  const nodes = await Promise.all(
    Array.from({ length: size }, async () => {
      const bus = await findFreePort()
      const server = await startServer({
        name: 'redis',
        buildArgs(address, port, directory) {
          const listen = ['--port', String(port), '--bind', address, '--dir', directory, '--save', '']
          return [
            ...listen,
            '--cluster-enabled',
            'yes',
            '--cluster-port',
            String(bus),
            '--cluster-node-timeout',
            '1000',
          ]
        },
        readyLine: 'Ready to accept connections',
        probe: { request: 'PING\r\n', answer: '+PONG' },
      })
      return { server, bus, admin: new Redis(server.port, '127.0.0.1') }
    }),
  )
  for (const [at, { server, bus, admin }] of nodes.entries()) {
    const [from, next] = [Math.ceil((SLOTS * at) / size), Math.ceil((SLOTS * (at + 1)) / size)]
    await admin.cluster('ADDSLOTSRANGE', from, next - 1)
    await admin.cluster('SET-CONFIG-EPOCH', at + 1)
    await nodes[0]?.admin.call('CLUSTER', 'MEET', '127.0.0.1', server.port, bus)
  }
  const isWhole = (info: string) => info.includes('cluster_state:ok') && info.includes(`cluster_size:${size}`)
  const deadline = performance.now() + 60_000
  for (const { admin } of nodes) {
    while (!isWhole(await admin.cluster('INFO'))) {
      assert.ok(performance.now() < deadline, 'the cluster did not form')
      await delay(50)
    }
    admin.disconnect()
  }
  return nodes.map(({ server }) => server)
}

test('everything works on a Redis Cluster, with users on all of its nodes', async () => {
  const keys = freshKeys()
  const directory = new Directory(redis, keys, devicePolicies.single)
  const inbox = new Inbox(redis, keys)
  const incarnation = createIncarnation()
  const lease = new BrokerLease(redis, keys, incarnation)
  await lease.acquire()
  assert.equal(await lease.renew({ state: 'ready', connections: 0 }), 'renewed')

  const users = Array.from({ length: 40 }, (_, at) => ({ appId: at, userId: `{user}:${at}` }))
  const slots = await sendAll(
    redis,
    users.map((user) => () => redis.cluster('KEYSLOT', keys.sessions(user))),
  )
  assert.equal(new Set(slots.map((slot) => Math.floor((slot * 3) / SLOTS))).size, 3)

  const sessions = await Promise.all(
    users.map(async (user) => {
      const old = (await directory.login(createDraft({ ...user, imei: 'old' }, incarnation))).session
      const { session, displaced } = await directory.login(createDraft(user, incarnation))
      assert.deepEqual(displaced, [old])
      return session
    }),
  )
  const sent = await Promise.all(
    users.map((to) =>
      inbox.append({ to, from: 'bob', clientType: 1, messageId: 'm', payload: Buffer.from(to.userId) }),
    ),
  )
  assert.deepEqual(
    sent.map(({ brokers }) => brokers.map(({ brokerId }) => brokerId)),
    sessions.map(({ brokerId }) => [brokerId]),
  )
  await inbox.saveCursors(
    sent.map(({ epoch, seq }, at) => ({
      user: users[at] ?? assert.fail(),
      device: sessions[at] ?? assert.fail(),
      epoch,
      seq,
    })),
  )
  for (const to of users) assert.equal(String((await inbox.read(to, 0)).messages[0]?.payload), to.userId)
  assert.deepEqual(
    await directory.sessionsOf(users),
    sessions.map((session) => [session]),
  )
  const [lost] = sessions
  assert.ok(lost)
  await redis.del(keys.sessions(lost))
  const verified = await directory.verify(users.map((user, at) => ({ user, sessions: sessions.slice(at, at + 1) })))
  assert.deepEqual(
    verified.flatMap(({ stale }) => stale),
    [lost],
  )
  assert.ok(verified.every(({ inbox }) => inbox?.head === 1))
  assert.equal((await directory.reassert(lost)).kept, true)
  await inbox.fork(lost, sent[0]?.epoch ?? '', 5)
  await directory.setOffline(lost)
  await directory.remove(sessions[1] ?? assert.fail())

  assert.equal((await readLeases(redis, keys, ['im-0', 'im-1'])).size, 1)
  await lease.release()
  const kept = { offlineRetentionMs: 60_000 }
  assert.equal((await cleanIncarnation(redis, keys, incarnation, kept)).removed, 39)
  assert.equal((await cleanIncarnation(redis, keys, incarnation, { ...kept, graceMs: 0 })).finished, true)
  assert.deepEqual(await formerIncarnations(redis, keys, 'im-0', ''), [])
})

test('when a node dies its users’ calls fail as ones to be tried again, and work when it is back', async () => {
  const keys = freshKeys()
  const inbox = new Inbox(redis, keys)
  const append = (at: number) =>
    inbox.append({
      to: { appId: at, userId: 'a' },
      from: 'bob',
      clientType: 1,
      messageId: 'm',
      payload: new Uint8Array(),
    })
  const appendAll = () => Promise.allSettled(Array.from({ length: 30 }, (_, at) => append(at)))
  await appendAll()
  const before = await readReplids(redis)
  assert.equal(before.length, 3)
  await servers[0]?.stop('SIGKILL')
  const results = await appendAll()
  const others = await readReplids(redis)
  assert.ok(others.length >= 2 && others.every((replid) => before.includes(replid)), 'the others are heard')
  const failed = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
  assert.ok(failed.length > 0 && failed.every(isUnavailable), String(failed.find((error) => !isUnavailable(error))))
  await servers[0]?.start()
  const deadline = performance.now() + 60_000
  while ((await appendAll()).some(({ status }) => status === 'rejected')) {
    assert.ok(performance.now() < deadline, 'the cluster did not recover')
    await delay(100)
  }
  const after = await readReplids(redis)
  assert.equal(after.filter((replid) => !before.includes(replid)).length, 1, 'one primary was restarted')
})
