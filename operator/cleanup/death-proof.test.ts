import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findPodProof } from './death-proof.ts'

const at = (seconds: number, ms = 0) => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds, ms))
const incarnation = { brokerId: 'im-2', podUid: 'a', bootId: 'b', host: '10.0.0.1', startedAt: at(10, 400).getTime() }

test('a pod that is gone, or has another UID, proves the end of the process', () => {
  assert.equal(findPodProof(incarnation, undefined), 'PodGone')
  assert.equal(findPodProof(incarnation, { uid: 'c', gateway: { runningSince: at(0) } }), 'PodReplaced')
})

test('a container that runs since before the process started may be its own', () => {
  assert.equal(findPodProof(incarnation, { uid: 'a', gateway: { runningSince: at(9) } }), undefined)
  assert.equal(findPodProof(incarnation, { uid: 'a', gateway: { runningSince: at(10) } }), undefined)
  // The end of a container before: the running one is what counts.
  assert.equal(findPodProof(incarnation, { uid: 'a', gateway: { runningSince: at(9), endedAt: at(20) } }), undefined)
})

test('a container started after the process proves that its own has ended', () => {
  assert.equal(findPodProof(incarnation, { uid: 'a', gateway: { runningSince: at(11) } }), 'ContainerEnded')
})

test('without a running container, one that ended after the process started proves its end', () => {
  assert.equal(findPodProof(incarnation, { uid: 'a', gateway: { endedAt: at(11) } }), 'ContainerEnded')
  // It ended before this process started, whose container the API server has not heard of yet.
  assert.equal(findPodProof(incarnation, { uid: 'a', gateway: { endedAt: at(10) } }), undefined)
  assert.equal(findPodProof(incarnation, { uid: 'a', gateway: {} }), undefined)
})
