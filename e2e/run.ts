import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { saveArtifacts } from './support/artifacts.ts'
import { run } from '../test/kit/kubernetes/command.ts'
import { buildFormerImage, formerImage, lacksFormerRelease } from './support/former-release.ts'
import { installOperator } from './support/helm.ts'
import { gatewayImage, nextImage } from '../test/kit/kubernetes/im-cluster.ts'
import { runTests } from './support/lanes.ts'
import { buildImage, createKindCluster, deleteKindCluster, loadImages, type KindCluster } from './support/kind.ts'

const HELP = `npm run e2e -- [options]

Creates a kind cluster of three nodes, installs the operator, and runs the end-to-end tests in it with real clients.
Needs docker, kind, kubectl and helm. KIND_NODE_IMAGE chooses the image of the nodes.

  --only NAME         runs only the files whose name contains NAME; may repeat
  --keep              leaves the kind cluster, with the operator in it, and says how to use it
  --kubeconfig FILE   uses this cluster instead, which has the node ports 30800 and 30900, and the images im-cluster:e2e,
                      the same as im-cluster:e2e-next, and the former release's (e2e/support/former-release.ts) as
                      im-cluster:e2e-former where a test upgrades from that
  --name NAME         name of the kind cluster (im-e2e)
  --help              this text
`

const root = fileURLToPath(new URL('..', import.meta.url))

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    keep: { type: 'boolean', default: false },
    kubeconfig: { type: 'string' },
    name: { type: 'string', default: 'im-e2e' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(HELP)
else process.exitCode = await main()

async function main(): Promise<number> {
  const files = globSync('{e2e,operator,controller}/**/*.e2e.ts', { cwd: root })
    .filter((file) => values.only.length === 0 || values.only.some((name) => file.includes(name)))
    .toSorted()
  if (files.length === 0) return fail(`no test matches --only ${values.only.join(', ')}`)
  const missing = await findMissing(
    values.kubeconfig === undefined ? ['docker', 'kind', 'kubectl', 'helm'] : ['kubectl', 'helm'],
  )
  if (missing.length > 0) return fail(`${missing.join(', ')} not found on the PATH; install it first`)

  // A release from git's history takes a while to build.
  const upgrades = files.some((file) => readFileSync(join(root, file), 'utf8').includes('former-release.ts'))
  const lack = upgrades && (await lacksFormerRelease(root))
  if (lack !== false) process.stderr.write(`the upgrade is not tested: ${lack}\n`)
  const needsFormer = upgrades && lack === false
  const images = [gatewayImage, nextImage, ...(needsFormer ? [formerImage] : [])]

  let cluster: KindCluster | undefined
  try {
    if (values.kubeconfig === undefined) {
      await step('build the image', () => buildImage([gatewayImage, nextImage], root))
      if (needsFormer) await step('build the image of the former release', () => buildFormerImage(root))
      cluster = await step(`create the kind cluster ${values.name}`, () => createKindCluster(values.name))
      const created = cluster
      await step('load the images', () => loadImages(created, images))
    }
    const kubeconfig = cluster?.kubeconfig ?? values.kubeconfig ?? ''
    process.env['KUBECONFIG'] = kubeconfig
    await step('install the operator', () => installOperator(gatewayImage))
    const passed = await runTests(files, root)
    if (!passed) await step('save logs, events and Redis keys under e2e/artifacts', () => saveArtifacts(root))
    return passed ? 0 : 1
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  } finally {
    if (cluster !== undefined && values.keep) {
      process.stderr.write(
        `kept: export KUBECONFIG=${cluster.kubeconfig}; end it with kind delete cluster --name ${cluster.name}\n`,
      )
    } else if (cluster !== undefined) await deleteKindCluster(cluster)
  }
}

async function findMissing(programs: readonly string[]): Promise<string[]> {
  const found = await Promise.all(programs.map((program) => run('sh', ['-c', `command -v ${program}`]).catch(() => '')))
  return programs.filter((_, at) => found[at] === '')
}

async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now()
  process.stderr.write(`${what} …`)
  const result = await work()
  process.stderr.write(` ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
  return result
}

function fail(message: string): number {
  process.stderr.write(`e2e: ${message}\n`)
  return 1
}
