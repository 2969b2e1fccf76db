import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lease, RegisteredIncarnation } from '../../session/brokers/broker.ts'
import type { ImCluster } from '../api/imcluster.ts'
import type { LostBroker } from '../cleanup/broker-cleanup.ts'
import type { KnownBroker } from '../cleanup/drained-brokers.ts'
import type { Pod } from '../reads/pod.ts'
import type { Observation } from '../conditions/observation.ts'
import { buildBrokers } from './broker-statuses.ts'

const incarnation = (brokerId: string, podUid: string, bootId: string): RegisteredIncarnation => ({
  brokerId,
  podUid,
  bootId,
  host: '10.0.0.1',
  startedAt: 0,
})
const lease = (of: RegisteredIncarnation, state: Lease['state'] = 'ready'): Lease => ({ ...of, state, connections: 3 })
const pod = (name: string, uid: string, more: object = {}): Pod => ({ metadata: { name, uid, ...more } })

function observe(
  pods: readonly Pod[],
  leases: readonly Lease[],
  registered: readonly RegisteredIncarnation[],
  unrecorded: readonly KnownBroker[] = [],
  lost: readonly LostBroker[] = [],
) {
  const departed = unrecorded.filter(({ bootId }) => !registered.some((other) => other.bootId === bootId))
  const byBroker = new Map(leases.map((one) => [one.brokerId, one]))
  const round = { leases: byBroker, registered, records: [], lost, departed, unrecorded, waitMs: undefined }
  const cluster = { status: { brokers: unrecorded } } as unknown as ImCluster
  const observation: Observation = { cluster, statefulSet: undefined, pods, directory: { round }, faults: [] }
  return buildBrokers(observation).map(({ brokerId, podUid, bootId, state }) => [brokerId, podUid, bootId, state])
}

test('a gateway is what its lease says, and pending while it has none', () => {
  const a = incarnation('im-0', 'a', 'boot-a')
  assert.deepEqual(observe([pod('im-0', 'a'), pod('im-1', 'b')], [lease(a)], [a]), [
    ['im-0', 'a', 'boot-a', 'ready'],
    ['im-1', 'b', '', 'pending'],
  ])
})

test('a process that drains after its pod was deleted by force is not forgotten', () => {
  const old = incarnation('im-0', 'old', 'boot-old')
  assert.deepEqual(observe([pod('im-0', 'new')], [lease(old, 'draining')], [old]), [
    ['im-0', 'new', '', 'pending'],
    ['im-0', 'old', 'boot-old', 'draining'],
  ])
})

test('a boot is shown until it is recorded, also when its pod is gone or replaced meanwhile', () => {
  const left = { brokerId: 'im-0', podUid: 'a', bootId: 'boot-a' }
  const gone = ['im-0', 'a', 'boot-a', 'draining']
  const ending = pod('im-0', 'a', { deletionTimestamp: '2026-01-01T00:00:00Z' })
  assert.deepEqual(observe([ending], [], [], [left]), [gone])
  // Its container alone was stopped.
  assert.deepEqual(observe([pod('im-0', 'a')], [], [], [left]), [['im-0', 'a', 'boot-a', 'pending']])
  assert.deepEqual(observe([], [], [], [left]), [gone])
  assert.deepEqual(observe([pod('im-0', 'b')], [], [], [left]), [['im-0', 'b', '', 'pending'], gone])
  assert.deepEqual(observe([pod('im-0', 'b')], [], [], []), [['im-0', 'b', '', 'pending']])
})

test('a boot that is just taking itself out of the directory is not forgotten', () => {
  const leaving = { ...incarnation('im-0', 'a', 'boot-a'), cleanedAt: 1, removed: 3 }
  const lost = [{ incarnation: leaving, proved: false }]
  assert.deepEqual(observe([pod('im-0', 'a')], [], [leaving], [leaving], lost), [
    ['im-0', 'a', '', 'pending'],
    ['im-0', 'a', 'boot-a', 'draining'],
  ])
})

test('while Redis is away no boot is forgotten, and what runs stays as it was last known', () => {
  const known = [
    { brokerId: 'im-0', podUid: 'a', bootId: 'boot-a', state: 'ready', connections: 3 },
    { brokerId: 'im-1', podUid: 'b', bootId: 'boot-b', state: 'ready', connections: 3 },
    { brokerId: 'im-2', podUid: 'c', bootId: '', state: 'pending', connections: 0 },
  ]
  const cluster = { status: { brokers: known } } as unknown as ImCluster
  const directory = { fault: { reason: 'RedisUnavailable', message: '' } }
  const pods = [pod('im-0', 'a')]
  assert.deepEqual(buildBrokers({ cluster, statefulSet: undefined, pods, directory, faults: [] }), [
    known[0],
    { brokerId: 'im-1', podUid: 'b', bootId: 'boot-b', state: 'draining', connections: 0 },
  ])
})
