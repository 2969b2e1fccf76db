import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAsWanted, withDigest } from './drift.ts'

const metadata = { name: 'im', namespace: 'chat' }
const wanted = withDigest({ metadata, spec: { replicas: 2, ports: [{ port: 80 }, { port: 81 }] } })

test('defaults and status that the API server adds are no drift', () => {
  const live = structuredClone({
    ...wanted,
    metadata: { ...wanted.metadata, uid: 'u', resourceVersion: '5' },
    spec: { ...wanted.spec, ports: [{ port: 80, protocol: 'TCP' }, { port: 81 }], clusterIP: '10.0.0.1' },
    status: {},
  })
  assert.equal(isAsWanted(live, wanted), true)
})

test('a field that somebody changed, removed or added to a list is drift', () => {
  for (const spec of [
    { ...wanted.spec, replicas: 3 },
    { ports: wanted.spec.ports },
    { ...wanted.spec, ports: [...wanted.spec.ports, { port: 82 }] },
    { ...wanted.spec, ports: wanted.spec.ports.toReversed() },
  ]) {
    assert.equal(isAsWanted({ ...wanted, spec }, wanted), false, JSON.stringify(spec))
  }
})

test('a field that is no longer wanted shows in the digest, though the object still has it', () => {
  const less = withDigest({ metadata, spec: { replicas: 2 } })
  assert.equal(isAsWanted(wanted, less), false)
  assert.equal(isAsWanted(wanted, withDigest({ metadata, spec: { ...wanted.spec } })), true)
})
