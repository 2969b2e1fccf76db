import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { TestCluster } from './support/im-cluster.ts'
import { waitFor } from './support/kubernetes.ts'
import { killContainer } from './support/operator.ts'

describe('Redis or NATS away while a cluster comes, changes and goes', () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await TestCluster.prepare()
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  async function withAway(server: 'redis' | 'nats', reason: string, change: () => Promise<unknown>): Promise<void> {
    const [pod] = await cluster.kubectl.list('pods', `app=${server}`)
    const name = pod?.metadata.name ?? ''
    await killContainer(cluster.kubectl, name, 'STOP')
    try {
      await change()
      await cluster.waitForCondition('Degraded', 'True', 120_000, reason)
    } finally {
      await killContainer(cluster.kubectl, name, 'CONT')
    }
  }

  test('created without Redis, it says so, and is ready when Redis is there', async () => {
    await withAway('redis', 'RedisUnavailable', () => cluster.apply())
    await cluster.waitUntilSettled(2, 180_000)
    await cluster.waitForCondition('Degraded', 'False', 90_000)
  })

  test('rolled out without NATS, it says so, goes no further, and ends the roll-out when NATS is there', async () => {
    const before = (await cluster.pods()).map(({ metadata }) => metadata.uid)
    await withAway('nats', 'NatsUnavailable', () => cluster.apply({ devicePolicy: { preset: 'dual' } }))
    const left = (await cluster.pods()).filter(({ metadata }) => before.includes(metadata.uid))
    assert.ok(left.length >= 1, 'no more than one gateway was taken')
    await waitFor('the roll-out', 180_000, async () =>
      (await cluster.pods()).every(({ metadata }) => !before.includes(metadata.uid)),
    )
    await cluster.waitUntilSettled(2, 180_000)
  })

  test('deleted without Redis, it says so and waits, and is gone when Redis is there, with nothing left', async () => {
    await withAway('redis', 'RedisUnavailable', () =>
      cluster.kubectl.run(['delete', 'imcluster', cluster.name, '--wait=false']),
    )
    await waitFor(
      'the end of the ImCluster',
      120_000,
      async () => (await cluster.kubectl.get('imcluster', cluster.name)) === undefined,
    )
    await waitFor('an empty register', 30_000, async () => (await cluster.redis('HLEN', 'im:brokers')).trim() === '0')
  })
})
