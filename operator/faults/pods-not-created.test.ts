import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findCreationFault, findStartFault } from './pods-not-created.ts'

const event = (reason: string, at: number, note = `${reason} at ${at}`) => ({ reason, at, note })

test('pods that cannot be created are a fault until one is', () => {
  assert.deepEqual(findCreationFault([event('SuccessfulCreate', 1)]), [])
  const [fault] = findCreationFault([
    event('SuccessfulCreate', 1),
    event('FailedCreate', 2, 'exceeded quota: pods=2'),
    event('FailedCreate', 3, 'exceeded quota: pods=3'),
  ])
  assert.equal(fault?.reason, 'PodsNotCreated')
  assert.match(fault.message, /^exceeded quota: pods=3; remove what is in the way/)
  for (const at of [3, 4]) {
    assert.deepEqual(findCreationFault([event('FailedCreate', 3), event('SuccessfulCreate', at)]), [])
  }
})

test('a pod that does not start has the newest warning', () => {
  const told = [event('Scheduled', 1), event('FailedMount', 2, 'no Secret'), event('FailedMount', 3, 'no volume')]
  assert.deepEqual(findStartFault('im-0', told), [{ reason: 'PodNotStarted', message: 'pod im-0: no volume' }])
  assert.deepEqual(findStartFault('im-0', [event('Scheduled', 1), event('Pulled', 2)]), [])
})
