import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { isReady, waitFor, type KubeObject } from '../test/kit/kubernetes/kubernetes.ts'
import { waitForNoDeadSession } from './support/sessions.ts'
import { startStopwatch } from './support/stopwatch.ts'
import { reachable, Traffic } from '../test/kit/kubernetes/traffic.ts'

const REPLICAS = 3
const PAIRS = 10
const RESTART_MS = 240_000
const RESTARTED_AT = 'kubectl.kubernetes.io/restartedAt'

interface StatefulSetObject extends KubeObject {
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly annotations?: Readonly<Record<string, string>> }
      readonly spec: {
        readonly containers: readonly { readonly env: readonly { readonly name: string; readonly value?: string }[] }[]
      }
    }
  }
}

describe('a rolling restart under load', () => {
  const stack = new AsyncDisposableStack()
  let cluster: TestCluster
  let traffic: Traffic
  before(async () => {
    cluster = stack.use(await TestCluster.prepare())
    await cluster.apply({ ...reachable, replicas: REPLICAS })
    await cluster.waitUntilSettled(REPLICAS)
    traffic = stack.use(await Traffic.start(cluster, PAIRS))
    await traffic.flowsForAll()
  })
  after(async () => {
    await stack.disposeAsync()
  })

  test('replaces one gateway at a time, and no client is ever without a connection', async (t) => {
    const before = await uidsOfPods()
    const lap = startStopwatch(t)
    const accepted = traffic.accepted
    await restart()
    const fewest = await waitUntilReplaced(before)
    await cluster.waitUntilSettled(REPLICAS)
    lap(`restart of ${REPLICAS} gateways with ${2 * PAIRS} clients, ${traffic.accepted - accepted} messages meanwhile`)
    assert.ok(fewest >= REPLICAS - 1, `${fewest} of ${REPLICAS} gateways were up at some time`)
    assert.deepEqual(traffic.interruptions, [])
    await traffic.flowsForAll()
    assert.ok((await readTemplate()).restartedAt, 'the operator leaves the annotation of the restart alone')
  })

  test('with the spec changed on the way, ends with the new spec everywhere', async (t) => {
    const before = await uidsOfPods()
    const { restartedAt } = await readTemplate()
    const lap = startStopwatch(t)
    await restart()
    await waitFor('the first gateway to leave', 60_000, async () =>
      (await cluster.pods()).some(({ metadata }) => metadata.deletionTimestamp !== undefined),
    )
    await cluster.apply({ ...reachable, replicas: REPLICAS, devicePolicy: { preset: 'triple' } })
    await waitUntilReplaced(before)
    await cluster.waitUntilSettled(REPLICAS)
    lap('restart and change of the spec')
    const template = await readTemplate()
    assert.equal(template.policy, 'triple')
    assert.notEqual(template.restartedAt, restartedAt)
    assert.equal((await cluster.read()).status?.updatedReplicas, REPLICAS)
  })

  test('loses no message and leaves no session of the gateways that were', async (t) => {
    await traffic.flowsForAll()
    assert.deepEqual(traffic.interruptions, [])
    const { messages } = await traffic.finish()
    t.diagnostic(`${messages} messages, none lost`)
    await waitForNoDeadSession(cluster, ['im-0', 'im-1', 'im-2'], 10_000)
  })

  async function restart(): Promise<void> {
    await cluster.kubectl.run(['rollout', 'restart', `statefulset/${cluster.name}`])
  }

  async function uidsOfPods(): Promise<string[]> {
    return (await cluster.pods()).map(({ metadata }) => metadata.uid)
  }

  /** Waits until no pod of those is left, and returns how many gateways were up at the least. */
  async function waitUntilReplaced(former: readonly string[]): Promise<number> {
    let fewest = Infinity
    await waitFor('the restart', RESTART_MS, async () => {
      const pods = await cluster.pods()
      fewest = Math.min(fewest, pods.filter(isReady).length)
      return pods.length === REPLICAS && pods.every(({ metadata }) => !former.includes(metadata.uid))
    })
    return fewest
  }

  async function readTemplate(): Promise<{ restartedAt: string | undefined; policy: string | undefined }> {
    const found = await cluster.kubectl.get<StatefulSetObject>('statefulset', cluster.name)
    assert.ok(found)
    const { metadata, spec } = found.spec.template
    const env = spec.containers.flatMap((container) => container.env)
    return {
      restartedAt: metadata.annotations?.[RESTARTED_AT],
      policy: env.find(({ name }) => name === 'IM_DEVICE_POLICY')?.value,
    }
  }
})
