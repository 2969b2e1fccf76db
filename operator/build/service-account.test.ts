import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildPodTemplate } from './pod-template.ts'
import { buildServiceAccount } from './service-account.ts'
import { buildTestCluster } from './test-cluster.ts'

test('the ServiceAccount is the one that the pods name, and gives them no token', () => {
  const cluster = buildTestCluster()
  const account = buildServiceAccount(cluster)
  assert.equal(account.metadata.name, buildPodTemplate(cluster).spec?.serviceAccountName)
  assert.equal(account.automountServiceAccountToken, false)
})
