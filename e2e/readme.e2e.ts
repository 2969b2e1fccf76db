import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { run } from '../test/kit/kubernetes/command.ts'
import { findBlock, readBlocks, version } from './support/documents.ts'
import { helm, installOperator, uninstallOperator } from './support/helm.ts'
import { gatewayImage, TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { Kubectl, waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { runShell } from './support/shell.ts'

const BLOCK_MS = 300_000
const MESSAGE = /^\{"stream":"inbox","seq":\d+,"from":"alice","payload":"hello","sentAt":\d+\}$/m

/** The commands that a chart's notes print: what is indented, by paragraphs. */
async function readNotes(release: string, namespace: string): Promise<string[]> {
  const notes = await helm('get', 'notes', release, '--namespace', namespace)
  return notes.split(/\n\n/).filter((paragraph) => paragraph.startsWith('  '))
}

const context = (await run('kubectl', ['config', 'current-context'])).trim()
const skip = context.startsWith('kind-') ? false : 'README.md loads the image into a kind cluster'
/** Tells the command kind which cluster. */
const env = { KIND_CLUSTER_NAME: context.replace(/^kind-/, '') }

describe('the commands that are printed, word for word', { skip }, () => {
  const chat = new Kubectl('chat')
  after(async () => {
    await removeAll()
    await installOperator(gatewayImage)
  })

  async function removeAll(): Promise<void> {
    await helm('uninstall', 'chat', '--namespace', 'chat', '--ignore-not-found', '--wait')
    await run('kubectl', ['delete', 'namespace', 'chat', '--ignore-not-found', '--timeout=60s'])
    await uninstallOperator()
  }

  /** Runs them one after another in one shell, as a reader would. */
  function runBlocks(blocks: readonly string[]): Promise<string> {
    return runShell(blocks.join('\n'), BLOCK_MS, env)
  }

  /** Waits for so many gateways, all ready. */
  async function gateways(count: number): Promise<void> {
    await waitFor(`${count} gateways`, 120_000, async () => {
      const pods = await chat.list('pods', 'app.kubernetes.io/name=im-gateway')
      const ready = await chat.run(['get', 'imc', 'chat', '-o', 'jsonpath={.status.readyReplicas}'])
      return pods.length === count && Number(ready) === count
    })
  }

  test('README.md, On Kubernetes: from the image to a message and five gateways', async () => {
    await removeAll()
    assert.match(await runBlocks(readBlocks('README.md', 'On Kubernetes')), MESSAGE)
    await gateways(5)
  })

  test('README.md, With your own Redis and NATS: an ImCluster is enough', async () => {
    await using team = await TestCluster.prepare('team', 'team')
    await runBlocks(readBlocks('README.md', 'With your own Redis and NATS'))
    await team.waitForCondition('Ready', 'True', 60_000)
  })

  test('the notes of the chart of a cluster: a message arrives', async () => {
    assert.match(await runBlocks(await readNotes('chat', 'chat')), MESSAGE)
  })

  test('the notes of the chart of the operator: the next step is a cluster of the same image', async () => {
    const notes = await readNotes('im-cluster-operator', 'im-system')
    await helm('uninstall', 'chat', '--namespace', 'chat', '--wait')
    await runBlocks([findBlock(notes, 'rollout status'), findBlock(notes, 'tryout.enabled=true')])
    await gateways(3)
    assert.match(await runBlocks([findBlock(notes, 'kubectl explain')]), /^chat +chat +3 /m)
  })

  test('docs/operations.md: install and upgrade, with the images that the charts name', async () => {
    await removeAll()
    await runShell(
      `docker tag ${gatewayImage} im-cluster:${version}; kind load docker-image im-cluster:${version}`,
      BLOCK_MS,
      env,
    )
    await runBlocks([findBlock(readBlocks('docs/operations.md', 'Install'), 'tryout.enabled=true')])
    await gateways(3)
    await runBlocks([findBlock(readBlocks('docs/operations.md', 'Upgrade'), 'helm upgrade')])
    await gateways(3)
  })
})
