import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findFreePort } from '../test/kit/servers/free-port.ts'
import type { Redis } from 'ioredis'
import { startRedis } from '../test/kit/servers/redis-server.ts'
import { openRedis } from '../session/test-kit.ts'
import { RedisPool } from './redis-pool.ts'

/** What a new connection is waited for, and a known bad one is not. */
const READY_TIMEOUT_MS = 3_000

test('clusters on a Redis that is away do not wait for it one after another, and it is used once it is there', async () => {
  await using pool = new RedisPool()
  const port = await findFreePort()
  const url = `redis://127.0.0.1:${port}`
  await assert.rejects(pool.use('chat/first', url), { code: 'redis_unavailable', message: /ECONNREFUSED/ })
  const started = performance.now()
  for (let at = 0; at < 20; at += 1) {
    await assert.rejects(pool.use(`chat/im-${at}`, url), { code: 'redis_unavailable', message: /ECONNREFUSED/ })
  }
  assert.ok(performance.now() - started < 10 * READY_TIMEOUT_MS, 'twenty waited for less than ten')

  await using _ = await startRedis({ port, persistent: false })
  const deadline = performance.now() + 60_000
  for (;;) {
    const redis = await pool.use('chat/im-0', url).catch((error: unknown) => {
      if (performance.now() > deadline) throw error
    })
    if (redis === undefined) continue
    assert.equal(await redis.ping(), 'PONG')
    return
  }
})

test('a connection is shared by all who name its URL, and closed with the last', async () => {
  await using server = await startRedis({ persistent: false })
  await using pool = new RedisPool()
  const [first, second] = await Promise.all([pool.use('chat/a', server.url), pool.use('chat/b', server.url)])
  assert.equal(first, second)
  pool.release('chat/a')
  assert.equal(await second.ping(), 'PONG')
  pool.release('chat/b')
  await assert.rejects(second.ping())
})

test('while the new URL of a cluster does not work its former one serves, and is closed once the new one does', async () => {
  await using server = await startRedis({ persistent: false })
  await using admin = await openRedis(server.url)
  const setPassword = (password: string) =>
    (admin.redis as Redis).call('ACL', 'SETUSER', 'im', 'on', '~*', '+@all', 'resetpass', `>${password}`)
  const urlOf = (password: string) => server.url.replace('redis://', `redis://im:${password}@`)
  await setPassword('first')
  await using pool = new RedisPool()
  const former = await pool.use('chat/im', urlOf('first'))
  for (let pass = 0; pass < 3; pass++) assert.equal(await pool.use('chat/im', urlOf('second')), former)
  assert.equal(await former.ping(), 'PONG')
  await assert.rejects(pool.use('chat/other', urlOf('second')), { code: 'redis_refused' })
  await setPassword('second')
  const deadline = performance.now() + 60_000
  let present = former
  while (present === former && performance.now() < deadline) present = await pool.use('chat/im', urlOf('second'))
  assert.notEqual(present, former)
  assert.equal(await present.ping(), 'PONG')
  await assert.rejects(former.ping())
})
