import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildClientService } from './client-service.ts'
import { buildHeadlessService } from './headless-service.ts'
import { buildPodDisruptionBudget } from './pod-disruption-budget.ts'
import { buildServiceAccount } from './service-account.ts'
import { buildStatefulSet } from './stateful-set.ts'
import { buildTestCluster, fullSpec } from './test-cluster.ts'

const cluster = buildTestCluster(fullSpec)
const builders = [
  buildStatefulSet,
  buildHeadlessService,
  buildClientService,
  buildPodDisruptionBudget,
  buildServiceAccount,
]

test('every object belongs to its cluster, with which it is deleted', () => {
  for (const build of builders) {
    const object = build(cluster)
    assert.partialDeepStrictEqual(object?.metadata, {
      namespace: 'chat',
      labels: { 'app.kubernetes.io/instance': 'im', 'app.kubernetes.io/managed-by': 'im-cluster-operator' },
      ownerReferences: [
        {
          apiVersion: 'imcluster.io/v1alpha1',
          kind: 'ImCluster',
          name: 'im',
          uid: cluster.metadata.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    })
  }
})

test('every object is built the same from the same cluster, and leaves the cluster as it was', () => {
  const before = JSON.stringify(cluster)
  for (const build of builders) {
    assert.equal(JSON.stringify(build(cluster)), JSON.stringify(build(structuredClone(cluster))))
  }
  assert.equal(JSON.stringify(cluster), before)
})
