import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startRedis } from '../test/kit/servers/redis-server.ts'
import { devicePolicies } from './device-policy.ts'
import { Directory } from './directory.ts'
import { parseIncarnation } from './brokers/broker.ts'
import { indexMember } from './keys.ts'
import { createDraft, createIncarnation, freshKeys, openRedis } from './test-kit.ts'
import { isNewer } from './user-session.ts'

const server = await startRedis({ persistent: false })
const clients = await Promise.all(Array.from({ length: 4 }, () => openRedis(server.url)))
after(async () => {
  await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()))
  await server[Symbol.asyncDispose]()
})

const user = { appId: 1, userId: 'alice' }
const LOGINS = 200

for (const devices of [2, LOGINS]) {
  test(`of ${LOGINS} logins at once with ${devices} devices over 4 gateways exactly one survives (I4)`, async () => {
    const keys = freshKeys()
    const gateways = clients.map(({ redis }, at) => ({
      directory: new Directory(redis, keys, devicePolicies.single, { contendedMs: 30_000 }),
      incarnation: createIncarnation(`im-${at}`),
    }))
    const logins = await Promise.all(
      Array.from({ length: LOGINS }, (_, at) => {
        const gateway = gateways[at % gateways.length]
        assert.ok(gateway)
        // Also with many gateways for the same device.
        const imei = `imei-${Math.floor(at / gateways.length) % devices}`
        return gateway.directory.login(createDraft({ imei }, gateway.incarnation))
      }),
    )
    const redis = clients[0]?.redis
    assert.ok(redis)
    const stored = Object.values(await redis.hgetall(keys.sessions(user)))
    const newest = logins.map(({ session }) => session).toSorted((a, b) => (isNewer(a, b) ? -1 : 1))[0]
    assert.ok(newest)
    assert.deepEqual(
      stored.map((json) => JSON.parse(json)),
      [newest],
    )
    // Everyone else was told: each is named once, as replaced or displaced, by the login that came next.
    const ended = logins.flatMap(({ replaced, displaced }) => [...(replaced ? [replaced] : []), ...displaced])
    assert.equal(new Set(ended.map(({ connectionId }) => connectionId)).size, LOGINS - 1)
    assert.equal(ended.length, LOGINS - 1)
    assert.equal(new Set(logins.map(({ session }) => session.loginAt)).size, LOGINS)
    assert.ok(logins.every(({ others }) => others.length === 0))
    const index = keys.index(newest.brokerId, parseIncarnation(newest.incarnation).bootId)
    assert.equal(await redis.sismember(index, indexMember(user, newest)), 1)
  })
}

test('a login that never gets its turn is refused as one to be tried again', async () => {
  const keys = freshKeys()
  const [first, second] = clients
  assert.ok(first && second)
  const directory = new Directory(first.redis, keys, devicePolicies.unlimited, { contendedMs: 0 })
  // Changes the hash behind every read, before the commit that follows it.
  const meddler = setInterval(() => {
    void second.redis.hset(keys.sessions(user), 'x', String(Math.random()))
  }, 0)
  try {
    await assert.rejects(
      async () => {
        for (;;)
          await Promise.all(Array.from({ length: 20 }, (_, at) => directory.login(createDraft({ imei: `${at}` }))))
      },
      { code: 'contended', retryable: true },
    )
  } finally {
    clearInterval(meddler)
  }
})
