import { after, before, describe, test } from 'node:test'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'

/** How soon what keeps a cluster from going on is told, where Kubernetes tells it at once. */
const TOLD_MS = 15_000

describe('a cluster that cannot go on', () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await TestCluster.prepare()
    await cluster.apply()
    await cluster.waitUntilSettled(2)
  })
  after(() => cluster[Symbol.asyncDispose]())

  const scale = (replicas: number) =>
    cluster.kubectl.run(['scale', 'imcluster', cluster.name, `--replicas=${replicas}`])
  const degraded = async (reason: string, says: RegExp, withinMs = TOLD_MS) => {
    await waitFor(`${reason}, ${String(says)}`, withinMs, async () => {
      const { status } = await cluster.waitForCondition('Degraded', 'True', withinMs, reason)
      return says.test(status?.conditions.find(({ type }) => type === 'Degraded')?.message ?? '')
    })
  }

  test('a quota that allows no more pods is quoted, and it goes on when that is gone', async () => {
    const pods = (await cluster.kubectl.run(['get', 'pods', '-o', 'name'])).trim().split('\n').length
    await cluster.kubectl.run(['create', 'quota', 'few', `--hard=pods=${pods}`])
    await scale(3)
    await degraded('PodsNotCreated', /exceeded quota: few/)
    await cluster.kubectl.run(['delete', 'quota', 'few'])
    // The StatefulSet controller tries again with a growing wait.
    await cluster.waitUntilSettled(3)
    await cluster.waitForCondition('Degraded', 'False', 60_000)
    await scale(2)
    await cluster.waitUntilSettled(2)
  })

  test('a pod whose labels somebody took off is named, and it goes on when the pod is deleted', async () => {
    await cluster.kubectl.run(['label', 'pod', `${cluster.name}-1`, 'app.kubernetes.io/instance-'])
    await degraded('PodsNotCreated', /im-1/)
    await cluster.kubectl.run(['delete', 'pod', `${cluster.name}-1`, '--wait=true'], { timeoutMs: 90_000 })
    await cluster.waitUntilSettled(2)
    await cluster.waitForCondition('Degraded', 'False', 60_000)
  })

  test('without a step it says so after its deadline', async () => {
    await cluster.apply({ progressDeadlineSeconds: 10 })
    await cluster.kubectl.run(['create', 'quota', 'none', '--hard=pods=0'])
    await scale(3)
    await degraded('PodsNotCreated', /no step was made for 10 s/, 60_000)
    await cluster.waitForCondition('Progressing', 'False', 60_000, 'ProgressDeadlineExceeded')
    await cluster.kubectl.run(['delete', 'quota', 'none'])
    await cluster.waitUntilSettled(3)
    await cluster.waitForCondition('Degraded', 'False', 60_000)
  })
})
