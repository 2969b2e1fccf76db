import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { run } from '../test/kit/kubernetes/command.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { canI, killContainer, killLeader, operatorPods, system } from '../test/kit/kubernetes/operator.ts'
import { reachable, Traffic } from '../test/kit/kubernetes/traffic.ts'

describe('the operator under faults', () => {
  let cluster: TestCluster
  let traffic: Traffic
  before(async () => {
    cluster = await TestCluster.prepare()
    await cluster.apply({ ...reachable, replicas: 2 })
    await cluster.waitUntilSettled(2)
    traffic = await Traffic.start(cluster)
  })
  after(async () => {
    await traffic[Symbol.asyncDispose]()
    await cluster[Symbol.asyncDispose]()
  })

  async function podUids(): Promise<string[]> {
    return (await cluster.pods()).map(({ metadata }) => metadata.uid).toSorted()
  }

  async function serverPod(app: string): Promise<string> {
    const [pod] = await cluster.kubectl.list('pods', `app=${app}`)
    return pod?.metadata.name ?? ''
  }

  test('killed again and again during a scale-up and a scale-down, it ends in the right state', async () => {
    await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=4'])
    await killLeader()
    await cluster.waitUntilSettled(4)
    const gone = (await cluster.pods()).filter(({ metadata }) => /-[23]$/.test(metadata.name))
    await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=2'])
    await killLeader()
    await waitFor('the drain to begin, or be over', 60_000, async () => {
      const pods = await cluster.pods()
      return pods.length < 4 || pods.some(({ metadata }) => metadata.deletionTimestamp !== undefined)
    })
    await killLeader()
    await cluster.waitUntilSettled(2)
    await waitFor('both to be recorded', 60_000, async () => {
      const { status } = await cluster.read()
      return gone.every(({ metadata }) => status?.cleanups.some(({ podUid }) => podUid === metadata.uid))
    })
    for (const brokerId of ['im-2', 'im-3']) assert.deepEqual(await cluster.sessionsOf(brokerId), [])
    await traffic.flows()
  })

  test('a restart, and a new version of the operator, restart no gateway', async () => {
    const before = await podUids()
    await system.run(['set', 'env', 'deployment/im-cluster-operator', 'IM_OPERATOR_CONCURRENCY=5'])
    await system.run(['rollout', 'status', 'deployment/im-cluster-operator', '--timeout=120s'], { timeoutMs: 130_000 })
    await cluster.apply({ ...reachable, replicas: 3 })
    await cluster.waitUntilSettled(3)
    const after = await podUids()
    assert.ok(
      before.every((uid) => after.includes(uid)),
      'the gateways there were go on',
    )
  })

  test('Redis away during a scale-down: the condition names it, and it recovers by itself', async () => {
    const redis = await serverPod('redis')
    await killContainer(cluster.kubectl, redis, 'STOP')
    try {
      await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=2'])
      const { status } = await cluster.waitForCondition('Degraded', 'True', 90_000, 'RedisUnavailable')
      assert.match(status?.conditions.find(({ type }) => type === 'Degraded')?.message ?? '', /Redis/)
    } finally {
      await killContainer(cluster.kubectl, redis, 'CONT')
    }
    await cluster.waitUntilSettled(2)
    await cluster.waitForCondition('Degraded', 'False', 90_000)
    await waitFor(
      'the sessions of im-2 to be gone',
      60_000,
      async () => (await cluster.sessionsOf('im-2')).length === 0,
    )
    await traffic.flows()
  })

  test('NATS away during a scale-up: the condition names it, and it recovers by itself', async () => {
    await cluster.kubectl.run(['scale', 'deployment', 'nats', '--replicas=0'])
    await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=3'])
    const { status } = await cluster.waitForCondition('Degraded', 'True', 90_000, 'NatsUnavailable')
    assert.match(status?.conditions.find(({ type }) => type === 'Degraded')?.message ?? '', /nats\..*:4222/)
    await cluster.kubectl.run(['scale', 'deployment', 'nats', '--replicas=1'])
    await cluster.waitUntilSettled(3, 180_000)
    await cluster.waitForCondition('Degraded', 'False', 90_000)
    await traffic.flows()
  })

  test('an idle cluster is not written', async () => {
    const { messages } = await traffic.finish()
    assert.ok(messages > 0)
    await traffic[Symbol.asyncDispose]()
    await waitFor(
      'the connections to be gone from the status',
      90_000,
      async () => (await cluster.read()).status?.connections === 0,
    )
    const before = await countWrites()
    const { metadata } = await cluster.read()
    await delay(IDLE_MS)
    assert.equal((await cluster.read()).metadata.resourceVersion, metadata.resourceVersion)
    assert.deepEqual(await countWrites(), before)
  })

  test('it may do what it needs, and nothing else', async () => {
    const [pod] = await operatorPods()
    const account = await system.run([
      'get',
      'pod',
      pod?.metadata.name ?? '',
      '-o',
      'jsonpath={.spec.serviceAccountName}',
    ])
    const may = (what: readonly string[]) => canI(`im-system:${account}`, cluster.kubectl.namespace, what)
    for (const what of [
      ['get', 'secrets'],
      ['patch', 'statefulsets.apps'],
      ['delete', 'statefulsets.apps'],
      ['watch', 'pods'],
    ]) {
      assert.equal(await may(what), 'yes', what.join(' '))
    }
    for (const what of [
      ['list', 'secrets'],
      ['watch', 'secrets'],
      ['create', 'pods'],
      ['delete', 'pods'],
      ['create', 'pods/exec'],
      ['delete', 'imclusters.imcluster.io'],
      ['get', 'configmaps'],
      ['escalate', 'roles'],
    ]) {
      assert.equal(await may(what), 'no', what.join(' '))
    }
  })
})

/** The measure: no write of the operator's kinds in so long. The one wait that is for nothing to happen. */
const IDLE_MS = 60_000

/**
 * Writes, as the API server has counted them, of everything that the operator may write but its Lease. The status of what it
 * made is written by Kubernetes' own controllers.
 */
async function countWrites(): Promise<string[]> {
  const kinds =
    /resource="(statefulsets|services|poddisruptionbudgets|serviceaccounts|networkpolicies)".*subresource=""/
  const text = await run('kubectl', ['get', '--raw', '/metrics'])
  return text
    .split('\n')
    .filter((line) => /^apiserver_request_total\{.*verb="(APPLY|PATCH|POST|PUT|DELETE)"/.test(line))
    .filter((line) => /resource="imclusters"|group="events.k8s.io"/.test(line) || kinds.test(line))
    .toSorted()
}
