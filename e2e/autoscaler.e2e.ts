import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor, type KubeObject } from '../test/kit/kubernetes/kubernetes.ts'
import { startStopwatch } from './support/stopwatch.ts'

const operations = fileURLToPath(new URL('../docs/operations.md', import.meta.url))

interface Autoscaler extends KubeObject {
  readonly spec: { readonly minReplicas: number; readonly maxReplicas: number }
  readonly status?: {
    readonly currentReplicas?: number
    readonly desiredReplicas: number
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason: string }[]
  }
}

describe('a HorizontalPodAutoscaler, as docs/operations.md prints it', () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await TestCluster.prepare('chat')
    await cluster.apply({ replicas: 1 })
    await cluster.waitUntilSettled(1)
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  async function read(): Promise<Autoscaler> {
    const found = await cluster.kubectl.get<Autoscaler>('horizontalpodautoscaler', 'chat')
    assert.ok(found)
    return found
  }

  /** Waits until the ImCluster has been scaled, by the autoscaler alone, and its gateways are ready. */
  async function waitUntilScaled(replicas: number): Promise<void> {
    await waitFor(
      `spec.replicas to be ${replicas}`,
      90_000,
      async () => (await cluster.read()).spec.replicas === replicas,
    )
    await cluster.waitUntilSettled(replicas)
  }

  test('scales the cluster up to its minimum, and is able to scale', async (t) => {
    const lap = startStopwatch(t)
    await cluster.kubectl.apply(readExample())
    const { minReplicas } = (await read()).spec
    await waitUntilScaled(minReplicas)
    lap(`scaled from 1 to ${minReplicas}`)
    const conditions = await waitFor('the conditions of the autoscaler', 90_000, async () => {
      const found = new Map((await read()).status?.conditions?.map((condition) => [condition.type, condition]))
      return found.has('ScalingActive') && found
    })
    assert.equal(conditions.get('AbleToScale')?.status, 'True')
    // It finds the gateways by the selector; in the test's cluster nobody tells it how busy they are.
    const active = conditions.get('ScalingActive')
    assert.ok(active?.status === 'True' || active?.reason === 'FailedGetResourceMetric', String(active?.reason))
  })

  test('scales it down to its maximum', async (t) => {
    const lap = startStopwatch(t)
    await cluster.kubectl.patch('horizontalpodautoscaler', 'chat', { spec: { minReplicas: 1, maxReplicas: 2 } })
    await waitUntilScaled(2)
    lap('scaled to 2')
  })
})

function readExample(): string {
  const blocks = [...readFileSync(operations, 'utf8').matchAll(/^```yaml\n([^]*?)^```/gm)].map(([, yaml = '']) => yaml)
  const [example] = blocks.filter((yaml) => yaml.includes('kind: HorizontalPodAutoscaler'))
  assert.ok(example, 'an example of a HorizontalPodAutoscaler')
  return example
}
