import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { KubeConfig } from '../controller/kubernetes.ts'
import { startChild, type Child } from '../test/kit/servers/child.ts'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import type { KubeObject } from '../test/kit/kubernetes/kubernetes.ts'
import { suspendOperator } from '../test/kit/kubernetes/operator.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))
interface Service extends KubeObject {
  readonly spec: { readonly ports: readonly { readonly nodePort: number }[] }
}

interface Node extends KubeObject {
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] }
}

/**
 * A namespace whose ImClusters are run by operators that are processes of this machine, so that a test can disturb their way
 * to the API server, watch what they write and kill them at a chosen moment. The installed operator rests meanwhile.
 */
export class OperatorBench implements AsyncDisposable {
  readonly cluster: TestCluster
  /** Redis, as pods and this machine reach it. */
  readonly redisUrl: string
  readonly #suspended: AsyncDisposable
  readonly #folder: string
  readonly #children: Child[] = []

  private constructor(suspended: AsyncDisposable, cluster: TestCluster, redisUrl: string, folder: string) {
    this.#suspended = suspended
    this.cluster = cluster
    this.redisUrl = redisUrl
    this.#folder = folder
  }

  static async start(): Promise<OperatorBench> {
    const suspended = await suspendOperator()
    const cluster = await TestCluster.prepare()
    await cluster.kubectl.patch('service', 'redis', { spec: { type: 'NodePort' } })
    const service = await cluster.kubectl.get<Service>('service', 'redis')
    const [node] = await cluster.kubectl.list<Node>('nodes')
    const address = node?.status.addresses.find(({ type }) => type === 'InternalIP')?.address ?? ''
    const folder = await mkdtemp(join(tmpdir(), 'im-operator-'))
    return new OperatorBench(suspended, cluster, `redis://${address}:${service?.spec.ports[0]?.nodePort}`, folder)
  }

  /** Starts an operator for this namespace. Each name has a Lease of its own, so that it leads at once. */
  async startOperator(name: string, config: KubeConfig): Promise<Child> {
    const file = join(this.#folder, `${name}.json`)
    await writeFile(file, config.exportConfig(), { mode: 0o600 })
    const { namespace } = this.cluster.kubectl
    const child = await startChild(process.execPath, [main], {
      name,
      env: {
        ...process.env,
        IM_OPERATOR_KUBECONFIG: file,
        IM_OPERATOR_NAMESPACE: namespace,
        IM_OPERATOR_WATCH_NAMESPACE: namespace,
        IM_OPERATOR_LEASE_NAME: name,
        IM_OPERATOR_POD_NAME: name,
        IM_OPERATOR_ADMIN_PORT: '0',
      },
    })
    this.#children.push(child)
    return child
  }

  /** The installed operator takes the namespace down; then those of the test end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#suspended[Symbol.asyncDispose]()
    await this.cluster[Symbol.asyncDispose]()
    await Promise.all(this.#children.map((child) => child.stop('SIGTERM')))
    await rm(this.#folder, { recursive: true })
  }
}
