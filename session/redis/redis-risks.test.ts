import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { parseRisks, readRisks } from './redis-risks.ts'
import { openRedis } from '../test-kit.ts'

test('a policy that evicts is read, and whether a restart loses what was accepted', async () => {
  await using server = await startRedis({ persistent: false })
  await using connection = await openRedis(server.url)
  const { redis } = connection
  assert.deepEqual(await readRisks(redis), { evictionPolicy: undefined, persistent: false })
  for (const policy of ['allkeys-lru', 'volatile-ttl']) {
    await redis.config('SET', 'maxmemory-policy', policy)
    assert.equal((await readRisks(redis)).evictionPolicy, policy)
  }
  await redis.config('SET', 'maxmemory-policy', 'noeviction')
  await redis.config('SET', 'appendonly', 'yes')
  assert.deepEqual(await readRisks(redis), { evictionPolicy: undefined, persistent: true })
})

test('a replica counts, and what is not said is not guessed', () => {
  assert.equal(parseRisks('aof_enabled:0\r\nconnected_slaves:1\r\n').persistent, true)
  assert.deepEqual(parseRisks('role:master\r\n'), { evictionPolicy: undefined, persistent: undefined })
})
