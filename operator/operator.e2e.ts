import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { run } from '../test/kit/kubernetes/command.ts'
import type { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { readKubeConfig, startFaultProxy } from '../controller/test-kit.ts'
import { OperatorBench } from './test-operator.ts'

describe('an operator whose API server fails', () => {
  let bench: OperatorBench
  let cluster: TestCluster
  const stopping = new AbortController()
  const supervised: Promise<void>[] = []
  before(async () => {
    bench = await OperatorBench.start()
    cluster = bench.cluster
  })
  after(async () => {
    stopping.abort()
    await bench[Symbol.asyncDispose]()
    await Promise.all(supervised)
  })

  const spec = (replicas: number) => ({
    replicas,
    redis: { url: bench.redisUrl },
    drain: { rate: 200, deadlineSeconds: 5, jitterSeconds: 1 },
  })

  async function assertClean(brokerIds: readonly string[]): Promise<void> {
    await waitFor(`${brokerIds.join(', ')} to be gone from Redis`, 120_000, async () => {
      const left = await Promise.all(brokerIds.map((brokerId) => cluster.sessionsOf(brokerId)))
      const register = await cluster.redis('HKEYS', 'im:brokers')
      return left.flat().length === 0 && !brokerIds.some((brokerId) => register.includes(`${brokerId}/`))
    })
  }

  test('with a quarter of all calls failing, it still ends in the right state', async (t) => {
    const seed = Date.now() % 1_000_000
    t.diagnostic(`seed ${seed}`)
    const { proxy, config } = await startFaultProxy(seed)
    await using _ = proxy
    proxy.share = 0.25
    const child = await bench.startOperator('faulty', config)
    await cluster.apply(spec(2))
    await cluster.waitUntilSettled(2, 180_000)
    await cluster.apply(spec(3))
    await cluster.waitUntilSettled(3, 180_000)
    await cluster.apply(spec(1))
    await cluster.waitUntilSettled(1, 180_000)
    await assertClean(['im-1', 'im-2'])
    t.diagnostic(`${proxy.requests} requests, failed: ${JSON.stringify(proxy.injected)}`)
    assert.ok(Object.keys(proxy.injected).length > 0)
    await child.stop('SIGTERM')
  })

  /** Starts it again when it ends, as the kubelet does: without the API server it loses its lease, and ends. */
  async function supervise(name: string): Promise<void> {
    while (!stopping.signal.aborted) await (await bench.startOperator(name, readKubeConfig())).exited
  }

  test('two that both believe to lead do no harm to each other, also while the API server restarts', async () => {
    supervised.push(supervise('first'), supervise('second'))
    await cluster.apply(spec(3))
    await cluster.waitUntilSettled(3, 180_000)
    const [node] = (
      await run('kubectl', ['get', 'nodes', '--selector=node-role.kubernetes.io/control-plane', '-o', 'name'])
    ).split('\n')
    await run('docker', ['exec', (node ?? '').replace('node/', ''), 'pkill', 'kube-apiserver'])
    await waitFor('the API server', 120_000, async () => (await run('kubectl', ['get', '--raw', '/readyz'])) === 'ok')
    await cluster.apply(spec(1))
    await cluster.waitUntilSettled(1, 180_000)
    await assertClean(['im-1', 'im-2'])
    const { status } = await cluster.waitForCondition('Degraded', 'False', 60_000)
    const boots = status?.cleanups.map(({ bootId }) => bootId) ?? []
    assert.equal(new Set(boots).size, boots.length, 'each start is recorded once')
  })
})
