import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildHeadlessService } from './headless-service.ts'
import { buildStatefulSet } from './stateful-set.ts'
import { buildTestCluster } from './test-cluster.ts'

test('the headless Service is the one that the StatefulSet names, and knows also gateways that drain, by each family', () => {
  const cluster = buildTestCluster()
  const { metadata, spec } = buildHeadlessService(cluster)
  assert.equal(metadata.name, buildStatefulSet(cluster).spec.serviceName)
  assert.partialDeepStrictEqual(spec, {
    clusterIP: 'None',
    ipFamilyPolicy: 'PreferDualStack',
    publishNotReadyAddresses: true,
    selector: { 'app.kubernetes.io/instance': 'im' },
  })
})
