import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { KubeConfig } from '@kubernetes/client-node'
import { startChild, type Child } from '../dev/child.ts'
import { run } from '../e2e/support/command.ts'
import { TestCluster } from '../e2e/support/im-cluster.ts'
import { system } from '../e2e/support/operator.ts'
import { waitFor } from '../e2e/support/kubernetes.ts'
import { readKubeConfig, startFaultProxy } from './runtime/test-kit.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))
/** Where pods and this machine reach the Redis of the test. */
const REDIS_NODE_PORT = 30637

describe('an operator whose API server fails', () => {
  let cluster: TestCluster
  let redis: string
  let folder: string
  const children: Child[] = []
  const stopping = new AbortController()
  const supervised: Promise<void>[] = []
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'im-operator-'))
    // The operators of this test are processes here, so that their way to the API server can be disturbed.
    await system.run(['scale', 'deployment', 'im-cluster-operator', '--replicas=0'])
    cluster = await TestCluster.prepare()
    await cluster.kubectl.patch('service', 'redis', {
      spec: { type: 'NodePort', ports: [{ port: 6379, nodePort: REDIS_NODE_PORT }] },
    })
    const [node] = await cluster.kubectl.list<{
      metadata: never
      status: { addresses: { type: string; address: string }[] }
    }>('nodes')
    const address = node?.status.addresses.find(({ type }) => type === 'InternalIP')?.address ?? ''
    redis = `redis://${address}:${REDIS_NODE_PORT}`
  })
  after(async () => {
    await system.run(['scale', 'deployment', 'im-cluster-operator', '--replicas=2'])
    await cluster[Symbol.asyncDispose]()
    stopping.abort()
    await Promise.all(children.map((child) => child.stop('SIGTERM')))
    await Promise.all(supervised)
    await rm(folder, { recursive: true })
  })

  async function startOperator(name: string, config: KubeConfig): Promise<Child> {
    const file = join(folder, `${name}.json`)
    await writeFile(file, config.exportConfig(), { mode: 0o600 })
    const child = await startChild(process.execPath, [main], {
      name,
      env: {
        ...process.env,
        IM_OPERATOR_KUBECONFIG: file,
        IM_OPERATOR_NAMESPACE: cluster.kubectl.namespace,
        IM_OPERATOR_WATCH_NAMESPACE: cluster.kubectl.namespace,
        IM_OPERATOR_LEASE_NAME: name,
        IM_OPERATOR_POD_NAME: name,
        IM_OPERATOR_ADMIN_PORT: '0',
      },
    })
    children.push(child)
    return child
  }

  const spec = (replicas: number) => ({
    replicas,
    redis: { url: redis },
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
    const child = await startOperator('faulty', config)
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
    while (!stopping.signal.aborted) await (await startOperator(name, readKubeConfig())).exited
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
