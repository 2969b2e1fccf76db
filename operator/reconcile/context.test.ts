import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildTestCluster } from '../build/test-cluster.ts'
import { ClusterMemory } from './context.ts'

test('a version that was written over is outdated, until the watch shows another or the cluster is gone', () => {
  const memory = new ClusterMemory()
  const version = (resourceVersion: string) => {
    const cluster = buildTestCluster()
    return { ...cluster, metadata: { ...cluster.metadata, resourceVersion } }
  }
  assert.equal(memory.isOutdated(version('1')), false)
  memory.setOutdated(version('1'))
  assert.equal(memory.isOutdated(version('1')), true)
  assert.equal(memory.isOutdated(version('2')), false)
  memory.forget('chat/im')
  assert.equal(memory.isOutdated(version('1')), false)
})
