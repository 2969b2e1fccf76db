import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../test/kit/kubernetes/command.ts'

interface Item {
  readonly metadata: { readonly name: string; readonly namespace: string }
}

/** Saves what explains a failure under e2e/artifacts: the objects, events, logs and Redis keys of every namespace of ours. */
export async function saveArtifacts(root: string): Promise<void> {
  const folder = join(root, 'e2e', 'artifacts')
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const save = async (name: string, file: string, args: readonly string[]): Promise<void> => {
    const text = await run(file, args).catch((error: unknown) => String(error))
    await writeFile(join(folder, name), text)
  }
  await save('imclusters.yaml', 'kubectl', ['get', 'imclusters', '--all-namespaces', '-o', 'yaml'])
  await save('events.txt', 'kubectl', ['get', 'events', '--all-namespaces', '--sort-by=.metadata.creationTimestamp'])
  await save('pods.txt', 'kubectl', ['get', 'pods', '--all-namespaces', '-o', 'wide'])
  const text = await run('kubectl', ['get', 'pods', '--all-namespaces', '-o', 'json']).catch(() => '{"items":[]}')
  for (const { metadata } of (JSON.parse(text) as { items: Item[] }).items) {
    const { namespace, name } = metadata
    if (!/^(e2e-|im-system$|chat$)/.test(namespace)) continue
    const log = ['logs', '--namespace', namespace, name, '--all-containers', '--tail=2000']
    await save(`${namespace}.${name}.log`, 'kubectl', log)
    await save(`${namespace}.${name}.previous.log`, 'kubectl', [...log, '--previous'])
    if (!/^(\w+-)?redis-/.test(name)) continue
    await save(`${namespace}.redis-keys.txt`, 'kubectl', [
      'exec',
      '--namespace',
      namespace,
      name,
      '--',
      'redis-cli',
      'KEYS',
      '*',
    ])
  }
}
