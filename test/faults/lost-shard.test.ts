import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { indexMember, Keys } from '../../session/keys.ts'
import { primariesOf } from '../../session/redis/redis.ts'
import { RawClient } from '../kit/raw-login.ts'
import { startRedisCluster } from '../kit/replicated-redis.ts'
import { bootIdOf, metric, TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

/** How long anything that Redis lost may be missing. */
const BACK_MS = 40_000
/** Longer than a test takes: the slow round must have no part in it. */
const NEVER_MS = '86400000'
const users = Array.from({ length: 24 }, (_, at) => `user-${at}`)

const redis = await startRedisCluster(new Keys().inbox({ appId: 1, userId: 'bob' }))
after(() => redis[Symbol.asyncDispose]())

async function awaitSessions(cluster: TestCluster, clients: readonly RawClient[]): Promise<void> {
  const wanted = clients.map(({ connectionId }) => connectionId).toSorted()
  await until(
    'every session is back',
    async () => {
      const found = await Promise.all(users.map((user) => cluster.store.sessionsOf(user)))
      assert.deepEqual(
        found
          .flat()
          .map(({ connectionId }) => connectionId)
          .toSorted(),
        wanted,
      )
      return true
    },
    BACK_MS,
  )
}

describe('one shard of a Redis Cluster loses all it has', () => {
  // Each in turn: the lease lies on one of them, and tells nothing of the others.
  it('sessions and index are back, devices there are told, and nobody is disconnected', async () => {
    const env = { IM_VERIFY_ROUND_MS: NEVER_MS }
    await using cluster = await TestCluster.start({ gateways: ['gw-0'], redisUrl: redis.url, env })
    const gateway = cluster.gateway('gw-0')
    const { store } = cluster
    await using stack = new AsyncDisposableStack()
    const clients = await Promise.all(
      users.map(async (user) => stack.use(await RawClient.login(gateway, { user, imei: 'phone' }))),
    )
    await awaitSessions(cluster, clients)
    const primaries = primariesOf(store.redis)
    assert.equal(primaries.length, 3)
    const boot = await bootIdOf(gateway)
    const canariesAt = async (at: number) => (await primaries[at]?.keys(`im:canary:*:${boot}`)) ?? []
    for (const at of primaries.keys()) {
      await until('each shard has a canary', async () => (await canariesAt(at)).length > 0)
      const before = await primaries[at]?.keys('im:*:sessions')
      assert.ok((before?.length ?? 0) > 0, 'users lie on each shard')
      await primaries[at]?.flushall()
      await awaitSessions(cluster, clients)
    }
    await until('the index is whole', async () => {
      const members = await store.redis.smembers(store.keys.index('gw-0', boot))
      const device = { clientType: 1, imei: 'phone' }
      return users.every((userId) => members.includes(indexMember({ appId: 1, userId }, device)))
    })
    for (const client of clients) await client.waitFor('gap', ({ reason }) => reason === 'reset', BACK_MS)
    assert.deepEqual(new Set(clients.map(({ ending }) => ending)), new Set(['open']))
  })

  it('a slot that moves to another shard is no loss', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0'], redisUrl: redis.url })
    const gateway = cluster.gateway('gw-0')
    const boot = await bootIdOf(gateway)
    const [first, second] = primariesOf(cluster.store.redis)
    assert.ok(first && second)
    const canaryOf = async () => (await first.keys(`im:canary:*:${boot}`))[0]
    const key = (await until('the shard has a canary', canaryOf)) ?? ''
    const slot = await first.cluster('KEYSLOT', key)
    const [from, to] = (await Promise.all([first, second].map((node) => node.cluster('MYID')))) as [string, string]
    await second.cluster('SETSLOT', slot, 'IMPORTING', from)
    await first.cluster('SETSLOT', slot, 'MIGRATING', to)
    const { host, port } = second.options
    for (const moving of await first.cluster('GETKEYSINSLOT', slot, 100)) {
      await first.migrate(host ?? '', port ?? 0, moving, 0, 5_000)
    }
    for (const node of [second, first]) await node.cluster('SETSLOT', slot, 'NODE', to)
    await until('the shard has another canary', async () => {
      const found = await canaryOf()
      return found !== undefined && found !== key
    })
    assert.deepEqual(
      gateway.logs().filter(({ sign }) => sign !== undefined),
      [],
    )
    assert.equal(await metric(gateway, 'im_sessions_reasserted_total'), 0)
  })
})
