import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { openRedis } from '../test-kit.ts'
import { Canaries } from './canaries.ts'

test('a loss is told once, also while no new canary can be placed, and the next one as soon as it can', async () => {
  await using server = await startRedis()
  await using client = await openRedis(server.url)
  const { redis } = client
  const canaries = new Canaries(redis, (number) => `canary:{${number}}`)
  assert.equal(await canaries.look(), false)
  assert.equal((await redis.keys('canary:*')).length, 1)
  await redis.flushall()
  await redis.config('SET', 'maxmemory', '1')
  assert.equal(await canaries.look(), true)
  assert.equal(await canaries.look(), false)
  await redis.config('SET', 'maxmemory', '0')
  assert.equal(await canaries.look(), false)
  assert.equal((await redis.keys('canary:*')).length, 1)
  await redis.flushall()
  assert.equal(await canaries.look(), true)
})
