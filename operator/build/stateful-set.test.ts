import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { StatefulSet } from './objects.ts'
import { buildPodTemplate } from './pod-template.ts'
import { buildStatefulSet } from './stateful-set.ts'
import { buildTestCluster } from './test-cluster.ts'

function immutable({ spec }: StatefulSet): unknown[] {
  return [spec.serviceName, spec.podManagementPolicy, spec.selector]
}

describe('the StatefulSet', () => {
  it('is named as the cluster, so that its pods are <cluster>-<ordinal>', () => {
    const { metadata } = buildStatefulSet(buildTestCluster({}, 'chat'))
    assert.equal(metadata.name, 'chat')
    assert.equal(metadata.namespace, 'chat')
  })

  it('has the replicas of the spec, also none', () => {
    for (const replicas of [0, 1, 5]) {
      assert.equal(buildStatefulSet(buildTestCluster({ replicas })).spec.replicas, replicas)
    }
  })

  it('keeps what can never change the same for every spec', () => {
    const expected = [
      'im-headless',
      'Parallel',
      { matchLabels: { 'app.kubernetes.io/name': 'im-gateway', 'app.kubernetes.io/instance': 'im' } },
    ]
    assert.deepEqual(immutable(buildStatefulSet(buildTestCluster())), expected)
    assert.deepEqual(immutable(buildStatefulSet(buildTestCluster({ image: 'other', replicas: 9 }))), expected)
  })

  it('selects the pods of its template', () => {
    const { selector, template } = buildStatefulSet(buildTestCluster()).spec
    assert.partialDeepStrictEqual(template.metadata?.labels, selector.matchLabels)
    assert.deepEqual(template, buildPodTemplate(buildTestCluster()))
  })
})
