import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildPodsNotCreated } from './pods-not-created.ts'

const event = (reason: string, at: number, note = `${reason} at ${at}`) => ({ reason, at, note })

test('pods that cannot be created are a fault until one is', () => {
  assert.deepEqual(buildPodsNotCreated([event('SuccessfulCreate', 1)]), [])
  const [fault] = buildPodsNotCreated([
    event('SuccessfulCreate', 1),
    event('FailedCreate', 2, 'exceeded quota: pods=2'),
    event('FailedCreate', 3, 'exceeded quota: pods=3'),
  ])
  assert.equal(fault?.reason, 'PodsNotCreated')
  assert.match(fault.message, /^exceeded quota: pods=3; remove what is in the way/)
  for (const at of [3, 4]) {
    assert.deepEqual(buildPodsNotCreated([event('FailedCreate', 3), event('SuccessfulCreate', at)]), [])
  }
})
