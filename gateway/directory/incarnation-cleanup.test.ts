import assert from 'node:assert/strict'
import { test } from 'node:test'
import { devicePolicies } from '../../session/device-policy.ts'
import { Directory } from '../../session/directory.ts'
import { Keys } from '../../session/keys.ts'
import { BrokerLease } from '../../session/brokers/lease.ts'
import { createDraft, createIncarnation, openRedis } from '../../session/test-kit.ts'
import { eventually, openBench, readMetric } from '../test-bench.ts'

test('what a former process left of a user ends with the retention of offline sessions that is set', async () => {
  await using bench = await openBench()
  await using client = await openRedis(bench.redis.url)
  const { redis } = client
  const keys = new Keys()
  const directory = new Directory(redis, keys, devicePolicies.unlimited)
  const former = createIncarnation('successor')
  await new BrokerLease(redis, keys, former).register()
  await directory.login(createDraft({}, former))
  // Another device, offline at another gateway: the hash stays.
  await directory.setOffline((await directory.login(createDraft({ imei: 'other' }))).session)

  const gateway = await bench.startHere('successor', { OFFLINE_RETENTION_MS: '7200000' })
  const cleaned = () => readMetric(gateway, 'im_sessions_cleaned_total')
  await eventually(cleaned, (count) => count === 1, 'the former process is cleaned')
  const left = await redis.pttl(keys.sessions({ appId: 1, userId: 'alice' }))
  assert.ok(left > 3_600_000 && left <= 7_200_000, `${left} ms`)
})
