import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { bootIdOf } from '../../session/brokers/broker.ts'
import { createBootId, readsBinary } from './boot-id.ts'

test('a boot id says what its process reads, alone and within an incarnation', () => {
  const bootId = createBootId()
  assert.notEqual(createBootId(), bootId)
  assert.ok(readsBinary(bootId))
  assert.ok(readsBinary(`${randomUUID()}/${bootId}`))
  assert.equal(bootIdOf(`pod/${bootId}`), bootId)
  assert.ok(readsBinary('pod/b12-of-a-later-release'))
})

test('a boot id of the former release, and what is not known, stand for JSON', () => {
  for (const bootId of [randomUUID(), 'b1234567-0000-4000-8000-000000000000', '', 'b0-x', 'b-x', 'xb1-x']) {
    assert.ok(!readsBinary(bootId), bootId)
    assert.ok(!readsBinary(`pod/${bootId}`), bootId)
    assert.ok(!readsBinary(`b1-pod/${bootId}`), bootId)
  }
})
