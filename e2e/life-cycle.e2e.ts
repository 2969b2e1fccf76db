import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { nextImage, TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { readOperatorMetric } from '../test/kit/kubernetes/operator.ts'
import { reachable, Traffic } from '../test/kit/kubernetes/traffic.ts'

describe('the life of a cluster, with clients connected', () => {
  let cluster: TestCluster
  let traffic: Traffic
  before(async () => {
    cluster = await TestCluster.prepare()
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  test('created, it is ready, and clients exchange messages', async () => {
    await cluster.apply({ ...reachable })
    const { status } = await cluster.waitForCondition('Ready', 'True', 120_000)
    assert.equal(status?.readyReplicas, 2)
    traffic = await Traffic.start(cluster)
    await traffic.flows()
  })

  test('scaled from 2 to 4 to 2, it loses no message and leaves no session of the gateways that went', async () => {
    await cluster.kubectl.run(['scale', 'imcluster', cluster.name, '--replicas=4'])
    await cluster.waitUntilSettled(4)
    await cluster.kubectl.run(['scale', 'imcluster', cluster.name, '--replicas=2'])
    await cluster.waitUntilSettled(2)
    for (const brokerId of ['im-2', 'im-3']) assert.deepEqual(await cluster.sessionsOf(brokerId), [])
    await traffic.flows()
  })

  test('paused, it is left as it is, and says so, until it goes on', async () => {
    await cluster.apply({ ...reachable, replicas: 3, paused: true })
    await cluster.waitForCondition('Progressing', 'False', 60_000, 'Paused')
    assert.equal((await cluster.pods()).length, 2)
    await cluster.apply({ ...reachable, replicas: 3 })
    await cluster.waitUntilSettled(3)
    await cluster.apply({ ...reachable })
    await cluster.waitUntilSettled(2)
  })

  test('created paused, it gets nothing, and deleted, it leaves nothing', async () => {
    const paused = cluster.withName('paused')
    await paused.apply({ paused: true })
    await paused.waitForCondition('Progressing', 'False', 60_000, 'Paused')
    assert.equal(await paused.kubectl.get('statefulset', paused.name), undefined)
    await paused.kubectl.run(['delete', 'imcluster', paused.name, '--timeout=30s'])
    assert.equal((await cluster.redis('HEXISTS', 'im:clusters', paused.name)).trim(), '0')
  })

  test('a change of image and device policy rolls out one pod at a time', async () => {
    const before = await cluster.pods()
    await cluster.apply({ ...reachable, image: nextImage, devicePolicy: { preset: 'triple' } })
    let fewest = Infinity
    await waitFor('the roll-out', 180_000, async () => {
      const pods = await cluster.pods()
      fewest = Math.min(fewest, pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined).length)
      const old = pods.filter(({ metadata }) => before.some((pod) => pod.metadata.uid === metadata.uid))
      return old.length === 0
    })
    await cluster.waitUntilSettled(2)
    assert.ok(fewest >= 1, 'a gateway was always up')
    await traffic.flows()
  })

  test('a bad image is told by the condition, and recovers when it is corrected', async () => {
    await cluster.apply({ ...reachable, image: 'im-cluster:no-such-tag', imagePullPolicy: 'Never' })
    const { status } = await cluster.waitForCondition('Degraded', 'True', 120_000, 'ImagePullFailed')
    assert.ok((status?.readyReplicas ?? 0) >= 1, 'the other gateways go on')
    await traffic.flows()
    await cluster.apply({ ...reachable })
    await cluster.waitUntilSettled(2)
    await cluster.waitForCondition('Degraded', 'False', 60_000)
    await traffic.flows()
  })

  test('each step, what was wrong, and its end are told by Events', async () => {
    const jsonpath = '{range .items[?(@.regarding.name=="im")]}{.type} {.reason}{"\\n"}{end}'
    let missing: string[] = []
    const complete = waitFor('the Events', 60_000, async () => {
      const text = await cluster.kubectl.run(['get', 'events.events.k8s.io', '-o', `jsonpath=${jsonpath}`])
      const told = new Set(text.split('\n'))
      const steps = [
        'Creating',
        'GatewaysReady',
        'ScalingUp',
        'ScalingDown',
        'RollingOut',
        'Complete',
        'Paused',
        'Recovered',
      ]
      const wanted = [...steps.map((reason) => `Normal ${reason}`), 'Warning ImagePullFailed']
      missing = wanted.filter((each) => !told.has(each))
      return missing.length === 0
    })
    await complete.catch((error: unknown) => {
      assert.deepEqual(missing, [])
      throw error
    })
    const labels = [`namespace="${cluster.kubectl.namespace}"`, 'imcluster="im"']
    assert.equal(await readOperatorMetric('im_imcluster_condition', [...labels, 'condition="Degraded"']), 0)
    assert.equal(await readOperatorMetric('im_imcluster_condition', [...labels, 'condition="Ready"']), 1)
    assert.equal(await readOperatorMetric('im_imcluster_spec_replicas', labels), 2)
  })

  test('nothing was lost, and deleted, it leaves nothing in Redis', async () => {
    const { messages } = await traffic.finish()
    assert.ok(messages > 0)
    await traffic[Symbol.asyncDispose]()
    await cluster.kubectl.run(['delete', 'imcluster', cluster.name, '--timeout=120s'], { timeoutMs: 130_000 })
    for (const key of ['im:brokers', 'im:clusters']) assert.equal((await cluster.redis('HGETALL', key)).trim(), '')
    for (const brokerId of ['im-0', 'im-1']) assert.deepEqual(await cluster.sessionsOf(brokerId), [])
  })
})
