// An operator and the ImClusters that it ran, removed in either order: nobody waits for an operator that is gone.
import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, describe, test } from 'node:test'
import { run } from '../test/kit/kubernetes/command.ts'
import { findBlock, readBlocks } from './support/documents.ts'
import { installOperator, uninstallOperator } from './support/helm.ts'
import { gatewayImage, TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { suspendOperator } from '../test/kit/kubernetes/operator.ts'
import { runShell } from './support/shell.ts'
import { startStopwatch } from './support/stopwatch.ts'

const FINALIZER = 'imcluster.io/cleanup'
const FOREIGN = 'e2e.example/of-somebody-else'
/** Redis is in the namespace: an operator that finds it gone waits for a grace period and a minute. */
const GONE_WITHIN_MS = 180_000
const command = findBlock(readBlocks('docs/operations.md', 'Uninstall'), 'kubectl replace')

describe('operator and ImClusters, removed in either order', () => {
  let cluster: TestCluster
  beforeEach(async () => {
    await installOperator(gatewayImage)
    cluster = await TestCluster.prepare()
    await cluster.apply({ drain: { rate: 200, deadlineSeconds: 5, jitterSeconds: 0 } })
    await cluster.waitUntilSettled(2)
  })
  afterEach(async () => {
    await run('kubectl', ['delete', 'namespace', cluster.kubectl.namespace, '--ignore-not-found', '--wait=false'])
  })
  after(async () => {
    await installOperator(gatewayImage)
  })

  async function finalizers(): Promise<string[]> {
    return (await cluster.kubectl.run(['get', 'imc', 'im', '-o', 'jsonpath={.metadata.finalizers[*]}'])).split(' ')
  }

  async function uids(): Promise<string[]> {
    return (await cluster.pods()).map(({ metadata }) => metadata.uid).toSorted()
  }

  function startDeletingNamespace(): Promise<string> {
    return run('kubectl', ['delete', 'namespace', cluster.kubectl.namespace, '--wait=false'])
  }

  async function namespaceIsGone(): Promise<void> {
    const { namespace } = cluster.kubectl
    await waitFor(`namespace ${namespace} to be gone`, GONE_WITHIN_MS, async () => {
      return (await run('kubectl', ['get', 'namespace', namespace, '--ignore-not-found', '-o', 'name'])) === ''
    })
  }

  test('the operator first: only its finalizer goes, a new one puts it back and restarts nothing, without one all ends', async (t) => {
    const gateways = await uids()
    const patch = { metadata: { finalizers: [FINALIZER, FOREIGN] } }
    await cluster.kubectl.patch('imc', 'im', patch)
    const lap = startStopwatch(t)
    await uninstallOperator()
    lap('the operator is uninstalled')
    assert.deepEqual(await finalizers(), [FOREIGN])
    const hook = ['--selector', 'app.kubernetes.io/name=im-cluster-operator-uninstall', '--all-namespaces']
    const kinds = 'all,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies'
    assert.equal(await run('kubectl', ['get', kinds, '-o', 'name', ...hook]), '', 'nothing of the hook is left')

    await installOperator(gatewayImage)
    await waitFor('the finalizer to be back', 60_000, async () => (await finalizers()).includes(FINALIZER))
    assert.deepEqual(await uids(), gateways)
    await cluster.kubectl.patch('imc', 'im', { metadata: { finalizers: [FINALIZER] } })

    await uninstallOperator()
    assert.deepEqual(await uids(), gateways)
    lap('and again')
    await startDeletingNamespace()
    await namespaceIsGone()
    lap('its namespace is gone')
  })

  test('the ImCluster first: it is taken down by the operator, which then has nothing to release', async () => {
    await startDeletingNamespace()
    await namespaceIsGone()
    await uninstallOperator()
  })

  test('an ImCluster that is being deleted when the operator goes is let go, too', async () => {
    {
      await using _ = await suspendOperator()
      await cluster.kubectl.run(['delete', 'imc', 'im', '--wait=false'])
      await uninstallOperator()
      assert.equal(await cluster.kubectl.get('imc', 'im'), undefined)
      // Disposing scales a Deployment that is not there.
      await installOperator(gatewayImage)
    }
    // Kubernetes collects what belonged to it, and the gateways drain.
    await waitFor('its gateways to be gone', GONE_WITHIN_MS, async () => (await cluster.pods()).length === 0)
    assert.equal((await cluster.redis('HLEN', 'im:brokers')).trim(), '0', 'they took themselves out of the directory')
  })

  test('an operator that was removed otherwise: all waits, and the command in the docs lets it go', async () => {
    await run('kubectl', ['delete', 'namespace', 'im-system', '--timeout=120s'], { timeoutMs: 130_000 })
    await startDeletingNamespace()
    await waitFor('only the ImCluster to be left, which waits', GONE_WITHIN_MS, async () => {
      const { metadata } = await cluster.read()
      return metadata.deletionTimestamp !== undefined && (await cluster.kubectl.list('all')).length === 0
    })
    assert.deepEqual(await finalizers(), [FINALIZER])
    await runShell(command, 60_000)
    await namespaceIsGone()
  })
})
