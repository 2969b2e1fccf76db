import { fileURLToPath } from 'node:url'
import { run } from '../../test/kit/kubernetes/command.ts'
import { Kubectl, waitFor } from '../../test/kit/kubernetes/kubernetes.ts'

const OPERATOR = 'im-cluster-operator'
const CRD = 'crd/imclusters.imcluster.io'
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs helm where the docs run it, in the repository's folder. */
export function helm(...args: readonly string[]): Promise<string> {
  return run('helm', args, { cwd: root, timeoutMs: 300_000 })
}

/** The values that name an image, for either chart. */
export function imageValues(image: string): string[] {
  const [repository = '', tag = ''] = image.split(':')
  return ['--set', `image.repository=${repository}`, '--set', `image.tag=${tag}`]
}

/** Installs or upgrades the operator as the end-to-end tests want it: in `im-system`, with this image. */
export async function installOperator(image: string, folder = root, ...more: readonly string[]): Promise<void> {
  const args = ['upgrade', '--install', OPERATOR, `${folder}/charts/${OPERATOR}`, '--namespace', 'im-system']
  await helm(...args, '--create-namespace', ...imageValues(image), '--wait', '--timeout', '120s', ...more)
}

/** Uninstalls the operator, if it is there, and waits until its pods have gone. */
export async function uninstallOperator(): Promise<void> {
  await helm('uninstall', OPERATOR, '--namespace', 'im-system', '--ignore-not-found', '--wait')
  const system = new Kubectl('im-system')
  await waitFor('the operator to be gone', 60_000, async () => (await system.list('pods')).length === 0)
}

/** Deletes the CRD. Refuses while there is an ImCluster, which would go with it. */
export async function deleteCrd(): Promise<void> {
  if ((await run('kubectl', ['get', CRD, '--ignore-not-found', '-o', 'name'])) === '') return
  // Those of tests before are on their way out.
  await waitFor('no ImCluster to be left', 60_000, async () => {
    return (await run('kubectl', ['get', 'imclusters', '--all-namespaces', '-o', 'name'])) === ''
  })
  await run('kubectl', ['delete', CRD, '--timeout=60s'])
}
