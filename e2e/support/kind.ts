import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../test/kit/kubernetes/command.ts'
import { nodePorts } from '../../test/kit/kubernetes/traffic.ts'

const CREATE_TIMEOUT_MS = 300_000
const BUILD_TIMEOUT_MS = 600_000
const BASE_IMAGES = ['redis:7.0.15-bookworm', 'nats:2.15.2']

/** A kind cluster of three nodes that this run made. */
export interface KindCluster {
  readonly name: string
  readonly kubeconfig: string
}

/** Creates a cluster; `KIND_NODE_IMAGE` chooses the image of its nodes. */
export async function createKindCluster(name: string): Promise<KindCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'im-e2e-'))
  const kubeconfig = join(folder, 'kubeconfig')
  const config = join(folder, 'kind.json')
  const ports = Object.values(nodePorts).map((port) => ({
    containerPort: port,
    hostPort: port,
    listenAddress: '127.0.0.1',
  }))
  await writeFile(
    config,
    JSON.stringify({
      kind: 'Cluster',
      apiVersion: 'kind.x-k8s.io/v1alpha4',
      nodes: [{ role: 'control-plane', extraPortMappings: ports }, { role: 'worker' }, { role: 'worker' }],
    }),
  )
  const image = process.env['KIND_NODE_IMAGE']
  const args = ['create', 'cluster', '--name', name, '--config', config, '--kubeconfig', kubeconfig, '--wait', '120s']
  await run('kind', [...args, ...(image === undefined ? [] : ['--image', image])], { timeoutMs: CREATE_TIMEOUT_MS })
  return { name, kubeconfig }
}

export async function deleteKindCluster({ name, kubeconfig }: KindCluster): Promise<void> {
  await run('kind', ['delete', 'cluster', '--name', name, '--kubeconfig', kubeconfig], { timeoutMs: CREATE_TIMEOUT_MS })
  await rm(join(kubeconfig, '..'), { recursive: true, force: true })
}

/** Brings images, and those of Redis and NATS, onto the nodes. */
export async function loadImages(cluster: KindCluster, images: readonly string[]): Promise<void> {
  const present = await Promise.all(
    BASE_IMAGES.map((base) => run('docker', ['image', 'inspect', base]).catch(() => '')),
  )
  for (const [at, base] of BASE_IMAGES.entries()) {
    if (present[at] === '') await run('docker', ['pull', base], { timeoutMs: CREATE_TIMEOUT_MS })
  }
  await run('kind', ['load', 'docker-image', '--name', cluster.name, ...images, ...BASE_IMAGES], {
    timeoutMs: CREATE_TIMEOUT_MS,
  })
}

/** Builds the image under each of these tags. */
export async function buildImage(tags: readonly string[], folder: string): Promise<void> {
  const args = ['build', ...tags.flatMap((tag) => ['--tag', tag]), '.']
  await run('docker', args, { cwd: folder, timeoutMs: BUILD_TIMEOUT_MS })
}
