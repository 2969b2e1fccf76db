import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { Canaries } from '../../session/redis/canaries.ts'
import { openRedis } from '../../session/test-kit.ts'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { LossSigns } from './loss-signs.ts'

test('what one sign tells is told also when the other cannot be read, and then nothing hides that', async () => {
  await using server = await startRedis()
  await using admin = await openRedis(server.url)
  const { redis } = admin
  await redis.call('ACL', 'SETUSER', 'watcher', 'on', '>word', '~*', '&*', '+@all')
  await using watcher = await openRedis(server.url.replace('://', '://watcher:word@'))
  const canaries = new Canaries(watcher.redis, (number) => `canary:{${number}}`)
  const signs = new LossSigns(watcher.redis, canaries, pino({ level: 'silent' }))
  assert.deepEqual(await signs.look(), [])
  await redis.call('ACL', 'SETUSER', 'watcher', '-fcall', '-fcall_ro')
  await redis.del(await redis.keys('canary:*'))
  assert.deepEqual(await signs.look(), ['canary'])
  await assert.rejects(signs.look(), { code: 'redis_refused' })
  await redis.call('ACL', 'SETUSER', 'watcher', '+@all')
  assert.deepEqual(await signs.look(), [])
})
