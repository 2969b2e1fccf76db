import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { devicePolicies } from '../../session/device-policy.ts'
import { Directory } from '../../session/directory.ts'
import { BrokerLease } from '../../session/brokers/lease.ts'
import { createDraft, createIncarnation, freshKeys, openRedis } from '../../session/test-kit.ts'
import { buildTestCluster } from '../build/test-cluster.ts'
import { createLogger } from '../logger.ts'
import { OperatorMetrics } from '../metrics.ts'
import { KubeApi } from '../../controller/api.ts'
import { refuse, startTestServer } from '../../controller/test-server.ts'
import { ClusterMemory, type ReconcileContext } from './context.ts'
import { reconcileDirectory } from './directory.ts'

test('a cleanup leaves the rest of a user for as long as the ImCluster says, else as the gateway does', async () => {
  await using server = await startRedis({ persistent: false })
  await using client = await openRedis(server.url)
  await using api = await startTestServer(refuse(404))
  const { redis } = client
  // No pod is there.
  const context = {
    api: new KubeApi(api.config, { qps: 1_000, burst: 1_000 }),
    memory: new ClusterMemory(),
    metrics: new OperatorMetrics(),
    logger: createLogger('silent'),
    record: () => undefined,
  } as unknown as ReconcileContext
  for (const [offlineRetentionSeconds, expected] of [
    [7_200, 7_200_000],
    [undefined, 3_600_000],
  ] as const) {
    const keys = freshKeys()
    const directory = new Directory(redis, keys, devicePolicies.unlimited, { offlineRetentionMs: 60_000 })
    const dead = createIncarnation('im-0')
    await new BrokerLease(redis, keys, dead).register()
    await directory.login(createDraft({}, dead))
    await directory.setOffline((await directory.login(createDraft({ imei: 'other' }))).session)
    const cluster = buildTestCluster(
      offlineRetentionSeconds === undefined ? {} : { directory: { offlineRetentionSeconds } },
    )
    const { round } = await reconcileDirectory(context, cluster, { redis, keys }, AbortSignal.timeout(60_000))
    assert.equal(round?.records[0]?.sessionsRemoved, 1)
    const left = await redis.pttl(keys.sessions({ appId: 1, userId: 'alice' }))
    assert.ok(left > expected / 2 && left <= expected, `${left} ms`)
  }
})
