import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { BrokerLease, readLeases } from '../../session/brokers/lease.ts'
import { createIncarnation, freshKeys, openRedis } from '../../session/test-kit.ts'
import type { Pod } from '../reads/pod.ts'
import { findGatewayTroubles } from './gateway-troubles.ts'

const server = await startRedis({ persistent: false })
after(() => server[Symbol.asyncDispose]())

test('what gateways say in their leases is told once, with the names of those that say it', async () => {
  await using connection = await openRedis(server.url)
  const { redis } = connection
  const keys = freshKeys()
  const trouble = { reason: 'NatsForbidden', message: 'NATS does not let this user publish to broker.im-1' }
  const pods: Pod[] = []
  for (let at = 0; at < 6; at++) {
    const incarnation = createIncarnation(`im-${at}`)
    const lease = new BrokerLease(redis, keys, incarnation)
    await lease.acquire()
    await lease.renew({ state: 'ready', connections: 0, troubles: at === 5 ? [] : [trouble] })
    // im-4 is another pod by now: what its predecessor said counts no more.
    pods.push({ metadata: { name: `im-${at}`, uid: at === 4 ? 'another' : incarnation.podUid } })
  }
  const leases = await readLeases(redis, keys, [...pods.map(({ metadata }) => metadata.name), 'im-6'])
  assert.deepEqual(findGatewayTroubles(pods, leases), [
    { reason: 'NatsForbidden', message: `im-0, im-1, im-2 and 1 more: ${trouble.message}` },
  ])
})

test('troubles that cannot be read leave the lease as it is', async () => {
  await using connection = await openRedis(server.url)
  const { redis } = connection
  const keys = freshKeys()
  for (const troubles of ['all', [{ reason: 'not a word', message: '' }], [{ reason: 'Word' }]]) {
    await redis.set(keys.lease('im-0'), JSON.stringify({ ...createIncarnation(), state: 'ready', troubles }))
    const lease = (await readLeases(redis, keys, ['im-0'])).get('im-0')
    assert.deepEqual([lease?.brokerId, lease?.troubles], ['im-0', undefined])
  }
})
