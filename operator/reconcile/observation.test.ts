import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lease, RegisteredIncarnation } from '../../session/broker.ts'
import type { ImCluster } from '../api/imcluster.ts'
import type { KnownBroker } from '../cleanup/departures.ts'
import type { Pod } from '../cleanup/pod.ts'
import { buildBrokers, type Observation } from './observation.ts'

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
  departed: readonly KnownBroker[] = [],
) {
  const byBroker = new Map(leases.map((one) => [one.brokerId, one]))
  const round = { leases: byBroker, registered, records: [], lost: [], departed, waitMs: undefined }
  const cluster = { status: { brokers: departed } } as unknown as ImCluster
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

test('a gateway that has left keeps its boot until that is recorded, also when its pod is gone or replaced meanwhile', () => {
  const left = { brokerId: 'im-0', podUid: 'a', bootId: 'boot-a' }
  const shown = ['im-0', 'a', 'boot-a', 'draining']
  assert.deepEqual(observe([pod('im-0', 'a')], [], [], [left]), [shown])
  assert.deepEqual(observe([], [], [], [left]), [shown])
  assert.deepEqual(observe([pod('im-0', 'b')], [], [], [left]), [['im-0', 'b', '', 'pending'], shown])
  assert.deepEqual(observe([pod('im-0', 'b')], [], [], []), [['im-0', 'b', '', 'pending']])
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
