import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { findFreePort } from '../../test/kit/servers/free-port.ts'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { changeTarget, compareTargets } from './redis-target.ts'
import { parseRedisUrl } from './redis-url.ts'
import type { RedisClient } from './redis.ts'
import { openRedis, startSentinel } from '../test-kit.ts'

test('what a client can take over while it lives is told from what it cannot', () => {
  const changes = [
    ['redis://u:p@a', 'redis://u:p@a:6379/0', 'none'],
    ['redis://u:p@a', 'redis://u:q@a', 'credentials'],
    ['redis://u:p@a', 'redis://a', 'credentials'],
    ['redis://a', 'redis://u:p@b', 'place'],
    ['redis://a', 'rediss://a', 'place'],
    ['redis://a', 'redis://a/1', 'kind'],
    ['redis://a', 'redis-cluster://a', 'kind'],
    ['redis-cluster://a,b', 'redis-cluster://b,a', 'none'],
    ['redis-cluster://a,b', 'redis-cluster://u:p@b,a', 'credentials'],
    ['redis-cluster://a,b', 'redis-cluster://a', 'kind'],
    ['redis-sentinel://a/main', 'redis-sentinel://a/other', 'kind'],
  ] as const
  for (const [from, to, change] of changes) {
    assert.equal(compareTargets(parseRedisUrl(from), parseRedisUrl(to)), change, `${from} to ${to}`)
  }
})

async function untilPong(redis: RedisClient): Promise<void> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const answer: unknown = await redis.ping().catch((error: unknown) => error)
    if (answer === 'PONG') return
    assert.ok(performance.now() < deadline, String(answer))
    await delay(50)
  }
}

test('a client of a Redis Cluster connects anew, and to new nodes, with the password that it was given last', async () => {
  const clusterPort = String(await findFreePort())
  // A node that is alone does not learn its address by itself.
  const config = ['--cluster-enabled', 'yes', '--cluster-port', clusterPort, '--cluster-announce-ip', '127.0.0.1']
  await using server = await startRedis({ config })
  const admin = new Redis(server.url)
  try {
    await admin.cluster('ADDSLOTSRANGE', 0, 16_383)
    while (!(await admin.cluster('INFO')).includes('cluster_state:ok')) await delay(50)
    const setPassword = (rule: string) => admin.call('ACL', 'SETUSER', 'im', 'on', '~*', '+@all', rule)
    const urlOf = (password: string) => `redis-cluster://im:${password}@127.0.0.1:${server.port}`
    await setPassword('>first')
    await using client = await openRedis(urlOf('first'))
    await setPassword('resetpass')
    await setPassword('>second')
    // Connections that stand stay.
    assert.equal(await client.redis.ping(), 'PONG')
    changeTarget(client.redis, parseRedisUrl(urlOf('second')))
    assert.ok(Number(await admin.call('CLIENT', 'KILL', 'USER', 'im')) > 0)
    await untilPong(client.redis)
  } finally {
    admin.disconnect()
  }
})

test('a client that goes by sentinels connects anew with the password that it was given last', async () => {
  await using server = await startRedis({ persistent: false })
  await using sentinel = await startSentinel(server.port)
  const admin = new Redis(server.url)
  try {
    await admin.config('SET', 'requirepass', 'first')
    const urlOf = (password: string) => `redis-sentinel://:${password}@127.0.0.1:${sentinel.port}/main`
    await using client = await openRedis(urlOf('first'))
    await admin.config('SET', 'requirepass', 'second')
    assert.equal(await client.redis.ping(), 'PONG')
    changeTarget(client.redis, parseRedisUrl(urlOf('second')))
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await untilPong(client.redis)
  } finally {
    admin.disconnect()
  }
})
