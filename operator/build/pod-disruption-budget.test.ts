import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { buildPodDisruptionBudget } from './pod-disruption-budget.ts'
import { buildTestCluster } from './test-cluster.ts'

describe('the PodDisruptionBudget', () => {
  it('lets one gateway go at a time, or as many as the spec says', () => {
    assert.equal(buildPodDisruptionBudget(buildTestCluster())?.spec.maxUnavailable, 1)
    const podDisruptionBudget = { maxUnavailable: '25%' }
    assert.equal(buildPodDisruptionBudget(buildTestCluster({ podDisruptionBudget }))?.spec.maxUnavailable, '25%')
  })

  it('is there for two gateways and more', () => {
    const built = [0, 1, 2].map((replicas) => buildPodDisruptionBudget(buildTestCluster({ replicas })))
    assert.deepEqual(
      built.map((budget) => budget !== undefined),
      [false, false, true],
    )
  })
})
