import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pod } from '../reads/pod.ts'
import { buildStatus } from '../reconcile/status.ts'
import type { Observation } from './observation.ts'
import { observe, whole } from './test-observation.ts'

function verdicts(observation: Observation): Record<string, string> {
  const { conditions = [] } = buildStatus(observation, [])
  return Object.fromEntries(conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]))
}

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

test('Secrets that gateways are about to use are progress, whatever its deadline, and no trouble', () => {
  const changing = { reason: 'SecretsChanging', message: 'im-0 will use what the Secret auth holds in a moment' }
  const standstill = { reason: 'ProgressDeadlineExceeded', message: 'no step was made' }
  const { Ready, Progressing, Degraded } = verdicts(observe(2, whole, { changing, standstill }))
  assert.deepEqual([Ready, Progressing, Degraded], ['True GatewaysReady', 'True SecretsChanging', 'False AsExpected'])
})
