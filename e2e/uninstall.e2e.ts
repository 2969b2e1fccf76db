import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { run } from '../test/kit/kubernetes/command.ts'
import { deleteCrd, helm, imageValues, installOperator, uninstallOperator } from './support/helm.ts'
import { gatewayImage, TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { system } from '../test/kit/kubernetes/operator.ts'
import { ReleaseCluster } from './support/release-cluster.ts'
import { runShell } from './support/shell.ts'
import { openClient, reachable, Traffic, urls } from '../test/kit/kubernetes/traffic.ts'

/** What the charts make, and what the operator makes. */
const KINDS =
  'all,imclusters,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,persistentvolumeclaims'

describe('helm uninstall of the operator, with clients connected', () => {
  let cluster: TestCluster
  let traffic: Traffic
  let gateways: string[]
  before(async () => {
    cluster = await TestCluster.prepare()
    await cluster.apply({ ...reachable })
    await cluster.waitUntilSettled(2)
    traffic = await Traffic.start(cluster)
    gateways = await uids()
  })
  after(async () => {
    await installOperator(gatewayImage)
    await traffic[Symbol.asyncDispose]()
    await cluster[Symbol.asyncDispose]()
  })

  async function uids(): Promise<string[]> {
    return (await cluster.pods()).map(({ metadata }) => metadata.uid).toSorted()
  }

  test('nothing of it is left but the CRD, and the gateways go on', async () => {
    await uninstallOperator()
    const selector = ['--selector', 'app.kubernetes.io/name=im-cluster-operator', '--all-namespaces']
    const kinds = `${KINDS},clusterroles,clusterrolebindings,customresourcedefinitions`
    const left = await run('kubectl', ['get', kinds, '-o', 'name', ...selector])
    assert.equal(left.trim(), 'customresourcedefinition.apiextensions.k8s.io/imclusters.imcluster.io')
    await traffic.flows()
    assert.deepEqual(await uids(), gateways)
  })

  test('installed again, it takes them over as they are, and scales them', async () => {
    await installOperator(gatewayImage)
    await cluster.kubectl.run(['scale', 'imcluster', cluster.name, '--replicas=3'])
    await cluster.waitUntilSettled(3)
    const now = await uids()
    assert.ok(
      gateways.every((uid) => now.includes(uid)),
      'a gateway was restarted',
    )
    await traffic.flows()
    assert.ok((await traffic.finish()).messages > 0)
  })
})

describe('an operator without the CRD', () => {
  before(async () => {
    await uninstallOperator()
    await deleteCrd()
  })
  after(async () => {
    await uninstallOperator()
    await deleteCrd()
    await installOperator(gatewayImage)
  })

  test('ends with a message that says what to do, which does help', async () => {
    const place = ['im-cluster-operator', 'charts/im-cluster-operator', '--namespace', 'im-system']
    await helm('install', ...place, ...imageValues(gatewayImage), '--set', 'crds.install=false')
    const path = 'jsonpath={.items[*].status.containerStatuses[*].lastState.terminated.message}'
    const message = await waitFor('the last words of a pod', 120_000, async () => {
      const words = await system.run(['get', 'pods', '-o', path])
      return /"code":"CRD_MISSING".*"msg":"(.*?)"/.exec(words)?.[1]
    })
    assert.match(message, /the API server does not know imclusters\.imcluster\.io/)
    const [command = ''] = /kubectl apply [^;,]*$/.exec(message) ?? []
    await runShell(command, 60_000)
    // A container that ended is started again after a while that doubles each time.
    await system.run(['rollout', 'status', 'deployment/im-cluster-operator', '--timeout=120s'], { timeoutMs: 130_000 })
  })

  test('a CRD that kubectl made is taken over by the chart when told so', async () => {
    await assert.rejects(installOperator(gatewayImage), /invalid ownership metadata/)
    await installOperator(gatewayImage, undefined, '--take-ownership')
    const release = '{.metadata.annotations.meta\\.helm\\.sh/release-name}'
    const crd = ['get', 'crd', 'imclusters.imcluster.io', '-o', `jsonpath=${release}`]
    assert.equal(await run('kubectl', crd), 'im-cluster-operator')
  })
})

describe('helm uninstall of a try-out', () => {
  let cluster: ReleaseCluster
  before(async () => {
    cluster = await ReleaseCluster.createTryout()
    await cluster.install()
    await cluster.waitUntilSettled(2)
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  test('tells clients to go, then leaves nothing', async (t) => {
    await using client = await openClient(cluster, 'bob', urls.tcp)
    const lost = new Promise<string>((resolve) => {
      client.on('disconnected', ({ code }) => resolve(code))
    })
    const started = performance.now()
    await cluster.uninstall()
    t.diagnostic(
      `gone after ${((performance.now() - started) / 1000).toFixed(1)} s, with a client that had nowhere to go`,
    )
    assert.equal(await lost, 'going_away')
    const selector = ['--selector', `app.kubernetes.io/instance=${cluster.name}`]
    // Helm waits for Deployments to be gone; their pods take a moment longer.
    await waitFor('nothing to be left', 60_000, async () => {
      return (await cluster.kubectl.run(['get', KINDS, '-o', 'name', ...selector])) === ''
    })
  })
})
