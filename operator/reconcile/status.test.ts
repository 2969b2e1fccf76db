import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CleanupRecord, ImCluster, ImClusterStatus } from '../api/imcluster.ts'
import type { StatefulSet } from '../build/objects.ts'
import type { Pod } from '../reads/pod.ts'
import type { DirectoryState } from './directory.ts'
import type { Observation } from '../conditions/observation.ts'
import { buildStatus } from './status.ts'

const quiet: DirectoryState = {
  round: { leases: new Map(), registered: [], records: [], lost: [], departed: [], unrecorded: [], waitMs: undefined },
}

function observe(
  replicas: number,
  counts: object,
  more: Partial<Observation> = {},
  status?: ImClusterStatus,
): Observation {
  const metadata = { name: 'im', namespace: 'chat', uid: 'u', generation: 2 }
  const cluster = { metadata, spec: { replicas, paused: false }, ...(status && { status }) } as unknown as ImCluster
  const statefulSet = {
    metadata: { generation: 1 },
    status: { observedGeneration: 1, ...counts },
  } as unknown as StatefulSet
  const pods = Array.from({ length: replicas }, (_, at): Pod => ({ metadata: { name: `im-${at}`, uid: `uid-${at}` } }))
  return { cluster, statefulSet, pods, directory: quiet, faults: [], ...more }
}

function verdicts(observation: Observation): Record<string, string> {
  const { conditions = [] } = buildStatus(observation, [])
  return Object.fromEntries(conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]))
}

const whole = { replicas: 2, readyReplicas: 2, updatedReplicas: 2 }

test('a cluster that is as its spec says is ready, and neither progressing, draining nor degraded', () => {
  assert.deepEqual(verdicts(observe(2, whole)), {
    Ready: 'True GatewaysReady',
    Progressing: 'False Complete',
    Draining: 'False NoneDraining',
    Degraded: 'False AsExpected',
    Durable: 'Unknown NotKnown',
  })
  assert.equal(verdicts(observe(0, { replicas: 0 })).Ready, 'True ScaledToZero')
})

test('what goes on has its own reason', () => {
  const progress = (counts: object, more?: Partial<Observation>) => verdicts(observe(2, counts, more)).Progressing
  assert.equal(progress({ ...whole, observedGeneration: 0 }), 'True Creating')
  assert.equal(progress({ ...whole, replicas: 1 }), 'True ScalingUp')
  assert.equal(progress({ ...whole, updatedReplicas: 1 }), 'True RollingOut')
  assert.equal(progress({ ...whole, readyReplicas: 1 }), 'True Starting')
  const leaving: Pod = { metadata: { name: 'im-2', uid: 'c', deletionTimestamp: '2026-01-01T00:00:00Z' } }
  const { Progressing, Draining } = verdicts(observe(2, whole, { pods: [...observe(2, whole).pods, leaving] }))
  assert.deepEqual([Progressing, Draining], ['True ScalingDown', 'True GatewaysDraining'])
})

test('a cluster that makes no step for too long has stopped progressing, and says at what', () => {
  const standstill = { reason: 'ProgressDeadlineExceeded', message: 'no step was made' }
  const stuck = observe(2, { ...whole, replicas: 1 }, { standstill })
  const { conditions = [] } = buildStatus(stuck, [])
  const progressing = conditions.find(({ type }) => type === 'Progressing')
  assert.equal(progressing?.reason, 'ProgressDeadlineExceeded')
  assert.match(progressing.message, /^1 pods, 2 are wanted; no step was made/)
  assert.equal(verdicts(stuck).Degraded, 'True ProgressDeadlineExceeded')
  const idle = verdicts(observe(2, whole, { standstill }))
  assert.deepEqual([idle.Progressing, idle.Degraded], ['False Complete', 'False AsExpected'], 'at rest no step is due')
})

test('a fault is the reason of Degraded, and of Ready when gateways are missing', () => {
  const faults = [{ reason: 'RedisUnavailable', message: 'Redis is unavailable' }]
  const { Ready, Degraded } = verdicts(observe(2, { ...whole, readyReplicas: 0 }, { faults }))
  assert.deepEqual([Ready, Degraded], ['False RedisUnavailable', 'True RedisUnavailable'])
  assert.equal(verdicts(observe(2, whole, { faults })).Ready, 'True GatewaysReady')
})

test('a cluster without gateways says why there are none, and one that is refused does not progress', () => {
  const judge = (reason: string) => {
    const fault = { reason, message: 'because' }
    return verdicts(observe(2, {}, { statefulSet: undefined, pods: [], directory: { fault }, faults: [fault] }))
  }
  assert.deepEqual(judge('RedisUnavailable'), {
    Ready: 'False RedisUnavailable',
    Progressing: 'True Creating',
    Draining: 'False NoneDraining',
    Degraded: 'True RedisUnavailable',
    Durable: 'Unknown NotKnown',
  })
  assert.equal(judge('PrefixConflict').Progressing, 'False PrefixConflict')
})

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

test('Secrets that gateways are about to use are progress, whatever its deadline, and no trouble', () => {
  const changing = { reason: 'SecretsChanging', message: 'im-0 will use what the Secret auth holds in a moment' }
  const standstill = { reason: 'ProgressDeadlineExceeded', message: 'no step was made' }
  const { Ready, Progressing, Degraded } = verdicts(observe(2, whole, { changing, standstill }))
  assert.deepEqual([Ready, Progressing, Degraded], ['True GatewaysReady', 'True SecretsChanging', 'False AsExpected'])
})
