import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CleanupRecord } from '../api/imcluster.ts'
import { observe, whole } from '../conditions/test-observation.ts'
import { buildStatus } from './status.ts'

test('a cluster that did not change has the very same status', () => {
  const first = buildStatus(observe(2, whole), [], new Date(0))
  assert.deepEqual(buildStatus(observe(2, whole, {}, first), [], new Date(1_000_000)), first)
})

test('the latest 20 cleanups are kept, newest first, none twice', () => {
  const record = (at: number): CleanupRecord => ({
    brokerId: 'im-1',
    podUid: `uid-${at}`,
    bootId: `boot-${at}`,
    proof: { pod: 'PodGone', lease: 'LeaseExpired' },
    sessionsRemoved: at,
    orphansLeft: 0,
    finishedAt: '2026-01-01T00:00:00Z',
  })
  const records = Array.from({ length: 25 }, (_, at) => record(at))
  const first = buildStatus(observe(2, whole), records)
  assert.deepEqual(
    first.cleanups?.map(({ sessionsRemoved }) => sessionsRemoved),
    records.slice(5).map((_, at) => 24 - at),
  )
  assert.deepEqual(buildStatus(observe(2, whole, {}, first), [record(24)]).cleanups, first.cleanups)
  const again = { ...record(24), sessionsRemoved: 0, finishedAt: '2026-01-01T00:00:09Z' }
  assert.deepEqual(buildStatus(observe(2, whole, {}, first), [again]).cleanups, first.cleanups)
  const more = { ...record(10), sessionsRemoved: 99 }
  const { cleanups = [] } = buildStatus(observe(2, whole, {}, first), [more])
  assert.deepEqual(
    [cleanups.length, cleanups[0]],
    [20, more],
    'a later pass that removed more is the record of the boot',
  )
  assert.equal(cleanups.filter(({ bootId }) => bootId === more.bootId).length, 1)
})
