import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { helm, imageValues, installOperator, uninstallOperator } from './support/helm.ts'
import { createNamespace, gatewayImage, TestCluster, type ImClusterObject } from '../test/kit/kubernetes/im-cluster.ts'
import type { Kubectl } from '../test/kit/kubernetes/kubernetes.ts'
import { canI } from '../test/kit/kubernetes/operator.ts'
import { openClient, reachable, urls } from '../test/kit/kubernetes/traffic.ts'

const RELEASE = 'im-cluster-operator'

describe('an operator of one namespace', () => {
  let cluster: TestCluster
  let elsewhere: Kubectl
  before(async () => {
    await uninstallOperator()
    cluster = await TestCluster.prepare()
    elsewhere = await createNamespace()
    const { namespace } = cluster.kubectl
    const place = [RELEASE, `charts/${RELEASE}`, '--namespace', namespace, '--set', `watchNamespace=${namespace}`]
    await helm('install', ...place, '--set', 'crds.install=false', ...imageValues(gatewayImage), '--wait')
  })
  after(async () => {
    // Nobody has run it, so that it has no finalizer; the operator of all would give it one.
    await elsewhere.run(['delete', 'imclusters', '--all', '--timeout=60s'])
    await cluster.kubectl.run(['delete', 'imclusters', '--all', '--timeout=60s'])
    await helm('uninstall', RELEASE, '--namespace', cluster.kubectl.namespace, '--wait')
    await installOperator(gatewayImage)
    await cluster[Symbol.asyncDispose]()
    await elsewhere.run(['delete', 'namespace', elsewhere.namespace, '--wait=false'])
  })

  test('runs the clusters there, through scaling and the death of a gateway, and none elsewhere', async () => {
    await elsewhere.apply({ ...cluster.build(), metadata: { name: 'im', namespace: elsewhere.namespace } })
    await cluster.apply({ ...reachable })
    await cluster.waitUntilSettled(2)
    const client = await openClient(cluster, 'bob', urls.tcp)
    await client.close()
    await cluster.kubectl.run(['delete', 'pod', 'im-1', '--force', '--grace-period=0'])
    await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=1'])
    await cluster.waitUntilSettled(1)
    await cluster.waitForCondition('Degraded', 'False', 60_000)
    const other = await elsewhere.get<ImClusterObject>('imcluster', 'im')
    assert.deepEqual([other?.status, other?.metadata.generation], [undefined, 1])
  })

  test('may do there what it needs, and elsewhere nothing', async () => {
    const account = `${cluster.kubectl.namespace}:${RELEASE}`
    for (const what of [
      ['get', 'secrets'],
      ['list', 'pods'],
      ['patch', 'statefulsets.apps'],
      ['patch', 'imclusters.imcluster.io/status'],
      ['create', 'events.events.k8s.io'],
    ]) {
      assert.equal(await canI(account, cluster.kubectl.namespace, what), 'yes', `${what.join(' ')} there`)
      assert.equal(await canI(account, elsewhere.namespace, what), 'no', `${what.join(' ')} elsewhere`)
    }
  })
})
