import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StatefulSet } from '../build/objects.ts'
import type { Pod } from '../reads/pod.ts'
import { ClusterMemory } from '../reconcile/context.ts'
import { findStandstill, markProgress } from './progress-deadline-exceeded.ts'

const pod = (uid: string, deletionTimestamp?: string): Pod => ({
  metadata: { name: uid, uid, ...(deletionTimestamp !== undefined && { deletionTimestamp }) },
})
const set = (readyReplicas: number, updatedReplicas = 2) =>
  ({ metadata: {}, status: { readyReplicas, updatedReplicas } }) as unknown as StatefulSet

test('each step begins the deadline anew, and nothing else does', () => {
  const memory = new ClusterMemory()
  const look = (now: number, ...at: Parameters<typeof markProgress> extends [...infer All, number] ? All : never) =>
    findStandstill(memory.mark('ns/im', markProgress(...at, now)), now, 10).length > 0
  assert.equal(look(0, 1, set(1), [pod('a')]), false)
  assert.equal(look(9_999, 1, set(1), [pod('a')]), false)
  assert.equal(look(10_000, 1, set(1), [pod('a')]), true)
  assert.equal(look(11_000, 1, set(1), [pod('a'), pod('b')]), false, 'a pod came')
  assert.equal(look(21_000, 1, set(1), [pod('b'), pod('a')]), true, 'in another order')
  assert.equal(look(22_000, 1, set(2), [pod('a'), pod('b')]), false, 'one is ready')
  assert.equal(look(33_000, 1, set(2), [pod('a', 'now'), pod('b')]), false, 'one leaves')
  assert.equal(look(44_000, 2, set(2), [pod('a', 'now'), pod('b')]), false, 'the spec was changed')
  assert.equal(look(55_000, 2, set(2), [pod('a', 'now'), pod('b')]), true)
  memory.forget('ns/im')
  assert.equal(look(56_000, 2, set(2), [pod('a', 'now'), pod('b')]), false)
})
