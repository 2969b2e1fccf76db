import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildPodNotStarted } from './pod-not-started.ts'

const event = (reason: string, at: number, note = `${reason} at ${at}`) => ({ reason, at, note })

test('a pod that does not start has the newest warning', () => {
  const told = [event('Scheduled', 1), event('FailedMount', 2, 'no Secret'), event('FailedMount', 3, 'no volume')]
  assert.deepEqual(buildPodNotStarted('im-0', told), { reason: 'PodNotStarted', message: 'pod im-0: no volume' })
  assert.deepEqual(buildPodNotStarted('im-0', [event('Scheduled', 1), event('Pulled', 2)]), undefined)
})
