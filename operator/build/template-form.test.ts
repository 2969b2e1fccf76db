import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StatefulSet } from './objects.ts'
import { buildStatefulSet } from './stateful-set.ts'
import { formOf, formOfTemplate } from './template-form.ts'
import { buildTestCluster, fullSpec } from './test-cluster.ts'

test('a template says its form, and one without a word is of the first', () => {
  for (const spec of [{}, fullSpec]) {
    const cluster = buildTestCluster(spec)
    assert.equal(formOfTemplate(buildStatefulSet(cluster)), 2)
    assert.equal(formOfTemplate(buildStatefulSet(cluster, 1)), 1)
  }
  assert.equal(formOfTemplate(undefined), 2)
  assert.equal(formOf({ 'imcluster.io/template-form': '9' }), 2)
  assert.equal(formOfTemplate({ spec: { template: {} } } as StatefulSet), 1)
})
