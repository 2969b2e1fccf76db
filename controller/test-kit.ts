import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { type AgentOptions } from 'node:https'
import { promisify } from 'node:util'
import { KubeApi, type KubeApiOptions } from './api.ts'
import { isApiError } from './errors.ts'
import { type Resource } from './resource.ts'
import { loadKubeConfig } from './http-client.ts'
import { FaultProxy } from './test-fault-proxy.ts'
import { configMaps, type ConfigMap } from './test-server.ts'

export { configMaps, type ConfigMap } from './test-server.ts'
import { TcpProxy } from './test-tcp-proxy.ts'

const namespaces: Resource = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false }

type KubeConfig = ReturnType<typeof loadKubeConfig>

/** The cluster of $KUBECONFIG. */
export function readKubeConfig(): KubeConfig {
  const file = process.env['KUBECONFIG']
  if (file === undefined || file === '') throw new Error('set KUBECONFIG to the file of a kind cluster')
  return loadKubeConfig(file)
}

/** Where the API server is. */
function serverOf(config: KubeConfig): URL {
  return new URL(config.getCurrentCluster()?.server ?? '')
}

/** The same cluster and user at another address. */
function withServer(config: KubeConfig, server: string): KubeConfig {
  const moved = readKubeConfig()
  const { clusters, users, contexts, currentContext } = config
  moved.loadFromOptions({
    clusters: clusters.map((cluster) => ({ ...cluster, server })),
    users,
    contexts,
    currentContext,
  })
  return moved
}

/** A TCP proxy in front of the API server, and a KubeConfig that leads through it. */
export async function startTcpProxy(): Promise<{ proxy: TcpProxy; config: KubeConfig }> {
  const direct = readKubeConfig()
  const proxy = await TcpProxy.start(serverOf(direct))
  return { proxy, config: withServer(direct, `https://127.0.0.1:${proxy.port}`) }
}

/** A proxy that answers with failures, and a KubeConfig that leads through it. */
export async function startFaultProxy(seed: number): Promise<{ proxy: FaultProxy; config: KubeConfig }> {
  const direct = readKubeConfig()
  const options: AgentOptions = {}
  await direct.applyToHTTPSOptions(options)
  const { ca, cert, key } = options
  const proxy = await FaultProxy.start(serverOf(direct), { ca, cert, key }, seed)
  const config = readKubeConfig()
  config.loadFromOptions({
    clusters: [{ name: 'faults', server: proxy.url, skipTLSVerify: true }],
    users: [{ name: 'nobody' }],
    contexts: [{ name: 'faults', cluster: 'faults', user: 'nobody' }],
    currentContext: 'faults',
  })
  return { proxy, config }
}

export function openApi(config: KubeConfig, options: KubeApiOptions = {}): KubeApi {
  return new KubeApi(config, { qps: 1_000, burst: 1_000, ...options })
}

/** A namespace of a test's own; deleted when disposed. */
export async function createNamespace(api: KubeApi): Promise<{ name: string } & AsyncDisposable> {
  const name = `runtime-${randomUUID().slice(0, 8)}`
  await api.create(namespaces, { metadata: { name } })
  return { name, [Symbol.asyncDispose]: () => api.delete(namespaces, { name }) }
}

/** Applies a ConfigMap with one value. */
export async function applyConfigMap(api: KubeApi, namespace: string, name: string, value: string): Promise<ConfigMap> {
  return await api.apply(
    configMaps,
    { metadata: { namespace, name }, data: { value } },
    { fieldManager: 'runtime-test' },
  )
}

const run = promisify(execFile)

/** Runs a command on the node of the kind cluster that $KUBECONFIG names. */
async function runOnNode(...command: string[]): Promise<string> {
  const cluster = readKubeConfig()
    .getCurrentContext()
    .replace(/^kind-/, '')
  const { stdout } = await run('docker', ['exec', `${cluster}-control-plane`, ...command], { timeout: 60_000 })
  return stdout
}

/** Kills the API server; kubelet starts it again. Resolves once it answers. */
export async function restartApiServer(api: KubeApi): Promise<void> {
  await runOnNode('pkill', '-KILL', 'kube-apiserver')
  await until(
    'the API server is back',
    async () => {
      try {
        await api.get(namespaces, { name: 'default' }, { retry: false, timeoutMs: 2_000 })
        return true
      } catch (error) {
        if (isApiError(error)) return false
        throw error
      }
      // The second and third time kubelet waits 10 s and 20 s.
    },
    120_000,
  )
}

/** Waits until a condition holds, looking 20 times a second. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => {
      setTimeout(resolve, 50)
    })
  }
}
