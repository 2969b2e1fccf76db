import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { TestCluster, type ImClusterObject } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { killLeader, readOperatorMetric } from '../test/kit/kubernetes/operator.ts'

const CLUSTERS = 200
const MEBIBYTE = 1024 * 1024

describe(`${CLUSTERS} ImClusters scaled to 0`, () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await TestCluster.prepare()
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  test('a new leader passes over all in seconds, within 200 MiB', async (t) => {
    const items = Array.from({ length: CLUSTERS }, (_, at) => cluster.build({ replicas: 0 }, `many-${at}`))
    const created = performance.now()
    await cluster.kubectl.run(['apply', '--server-side', '-f', '-'], {
      input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
      timeoutMs: 300_000,
    })
    await waitFor('all to be ready', 300_000, async () => {
      const all = await cluster.kubectl.list<ImClusterObject>('imclusters')
      const ready = all.filter(({ status }) =>
        status?.conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
      )
      return ready.length === CLUSTERS
    })
    const createdMs = performance.now() - created

    await killLeader()
    await waitFor('a pass over all by the next leader', 120_000, async () => {
      return (
        (await readOperatorMetric('im_operator_reconciles_total')) >= CLUSTERS &&
        (await readOperatorMetric('im_operator_queue_depth')) === 0
      )
    })
    const passes = await readOperatorMetric('im_operator_reconciles_total')
    const seconds = await readOperatorMetric('im_operator_reconcile_seconds_sum')
    const memory = await readOperatorMetric('process_resident_memory_bytes')
    t.diagnostic(
      '| clusters | until all ready, s | passes | time of a pass, ms | pass over all (4 workers), s | memory, MiB |',
    )
    t.diagnostic(
      `| ${CLUSTERS} | ${(createdMs / 1000).toFixed(1)} | ${passes} | ${((1000 * seconds) / passes).toFixed(1)} | ${(((seconds / passes) * CLUSTERS) / 4).toFixed(1)} | ${(memory / MEBIBYTE).toFixed(0)} |`,
    )
    assert.ok(memory < 200 * MEBIBYTE)
  })
})
