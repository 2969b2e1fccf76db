import { buildSelector, formatSelector } from '../api/constants.ts'
import { findCondition, setCondition, type ConditionState, type Verdict } from '../api/conditions.ts'
import type { BrokerStatus, CleanupRecord, Condition, ImClusterStatus } from '../api/imcluster.ts'
import { buildBrokers, type Observation } from '../conditions/observation.ts'
import type { Fault } from '../faults/fault.ts'
import { judgeDurable } from '../conditions/durable.ts'
import { PREFIX_CONFLICT } from '../faults/prefix-conflict.ts'

/** Cleanups that the status shows. */
const MAX_CLEANUPS = 20

/**
 * Builds the status of a cluster. Pure: the same observation and former status give the same status, so that an idle
 * cluster is not written.
 *
 * @param records cleanups that the former status does not show
 */
export function buildStatus(
  observation: Observation,
  records: readonly CleanupRecord[],
  now = new Date(),
): ImClusterStatus {
  const { cluster, statefulSet, pods } = observation
  const former = cluster.status ?? {}
  const brokers = buildBrokers(observation)
  const counts = statefulSet?.status
  return {
    observedGeneration: cluster.metadata.generation,
    conditions: buildConditions(observation, brokers, former.conditions ?? [], now),
    replicas: pods.length,
    readyReplicas: counts?.readyReplicas ?? 0,
    updatedReplicas: counts?.updatedReplicas ?? 0,
    selector: formatSelector(buildSelector(cluster)),
    connections: brokers.reduce((sum, { connections }) => sum + connections, 0),
    brokers,
    cleanups: mergeCleanups(records, former.cleanups ?? []),
  }
}

/**
 * Newest first; one record for each boot. Several passes can make one: of two leaders, or when a later pass removed more,
 * whose record takes the place of the former.
 */
function mergeCleanups(records: readonly CleanupRecord[], former: readonly CleanupRecord[]): readonly CleanupRecord[] {
  let merged = former
  for (const record of records) {
    const known = merged.find(({ bootId }) => bootId === record.bootId)
    if (known !== undefined && known.sessionsRemoved >= record.sessionsRemoved) continue
    merged = [record, ...merged.filter((other) => other !== known)]
  }
  return merged.slice(0, MAX_CLEANUPS)
}

function buildConditions(
  observation: Observation,
  brokers: readonly BrokerStatus[],
  former: readonly Condition[],
  now: Date,
): readonly Condition[] {
  const observedGeneration = observation.cluster.metadata.generation
  const states: readonly (readonly [ConditionState['type'], Verdict])[] = [
    ['Ready', judgeReady(observation)],
    ['Progressing', judgeProgressing(observation)],
    ['Draining', judgeDraining(observation, brokers)],
    ['Degraded', judgeDegraded(observation)],
    ['Durable', judgeDurable(observation, findCondition(former, 'Durable'))],
  ]
  return states.reduce(
    (conditions, [type, verdict]) => setCondition(conditions, { type, ...verdict, observedGeneration }, now),
    former,
  )
}

function judgeReady({ cluster, statefulSet, directory, faults }: Observation): Verdict {
  const wanted = cluster.spec.replicas
  if (cluster.metadata.deletionTimestamp !== undefined) {
    return { status: 'False', reason: 'Deleting', message: 'the ImCluster is being deleted' }
  }
  const ready = statefulSet?.status?.readyReplicas ?? 0
  if (ready >= wanted && isObserved(statefulSet)) {
    return wanted === 0
      ? { status: 'True', reason: 'ScaledToZero', message: 'no gateway is wanted' }
      : { status: 'True', reason: 'GatewaysReady', message: `${ready} of ${wanted} gateways ${doing(directory)}` }
  }
  const [fault] = faults
  const message = `${ready} of ${wanted} gateways accept clients`
  return fault === undefined
    ? { status: 'False', reason: 'GatewaysNotReady', message }
    : { status: 'False', reason: fault.reason, message: `${message}; ${fault.message}` }
}

/** In an outage that they share gateways stay ready; whether this is one only they know. */
function doing({ fault }: Observation['directory']): string {
  return fault === undefined ? 'accept clients' : `are up, but ${fault.message}`
}

function judgeProgressing(observation: Observation): Verdict {
  const verdict = judgeStep(observation)
  const { standstill, changing } = observation
  if (verdict.reason === 'Complete' && changing !== undefined) return { status: 'True', ...changing }
  if (standstill === undefined || verdict.status !== 'True') return verdict
  return { status: 'False', reason: standstill.reason, message: `${verdict.message}; ${standstill.message}` }
}

function judgeStep({ cluster, statefulSet, pods, directory }: Observation): Verdict {
  if (cluster.metadata.deletionTimestamp !== undefined) {
    return { status: 'True', reason: 'Deleting', message: waitingForPods(pods.length) }
  }
  if (cluster.spec.paused) return { status: 'False', reason: 'Paused', message: 'spec.paused is true' }
  const wanted = cluster.spec.replicas
  const status = statefulSet?.status
  const { fault } = directory
  if (fault?.reason === PREFIX_CONFLICT) return { status: 'False', ...fault }
  if (fault !== undefined && statefulSet === undefined) {
    return { status: 'True', reason: 'Creating', message: `no gateway is made yet: ${fault.message}` }
  }
  if (!isObserved(statefulSet) || status === undefined) {
    return { status: 'True', reason: 'Creating', message: 'waiting for the StatefulSet controller' }
  }
  if (pods.length > wanted) {
    return { status: 'True', reason: 'ScalingDown', message: `${pods.length} pods, ${wanted} are wanted` }
  }
  const updated = status.updatedReplicas ?? 0
  if (status.replicas < wanted) {
    return { status: 'True', reason: 'ScalingUp', message: `${status.replicas} pods, ${wanted} are wanted` }
  }
  if (updated < wanted) {
    return { status: 'True', reason: 'RollingOut', message: `${updated} of ${wanted} pods have the newest template` }
  }
  const ready = status.readyReplicas ?? 0
  if (ready < wanted) {
    return {
      status: 'True',
      reason: 'Starting',
      message: `waiting for ${wanted - ready} of ${wanted} pods to be ready`,
    }
  }
  return { status: 'False', reason: 'Complete', message: 'the cluster is as the spec says' }
}

function judgeDraining({ pods }: Observation, brokers: readonly BrokerStatus[]): Verdict {
  const names = pods
    .filter(({ metadata }) => metadata.deletionTimestamp !== undefined)
    .map(({ metadata }) => metadata.name)
  const draining = brokers.filter(({ brokerId, state }) => state === 'draining' || names.includes(brokerId))
  if (draining.length === 0) return { status: 'False', reason: 'NoneDraining', message: 'no gateway is leaving' }
  const parts = draining.map(({ brokerId, connections }) => `${brokerId} (${connections} connections)`)
  return { status: 'True', reason: 'GatewaysDraining', message: `leaving: ${parts.join(', ')}` }
}

function judgeDegraded(observation: Observation): Verdict {
  const { faults, directory, standstill } = observation
  const stuck = (directory.round?.lost ?? []).flatMap(({ incarnation, waitsFor }): Fault[] =>
    waitsFor === undefined
      ? []
      : [{ reason: 'GatewayLost', message: `${incarnation.brokerId}: its lease ran out, ${waitsFor}` }],
  )
  const stands = standstill !== undefined && judgeStep(observation).status === 'True' ? [standstill] : []
  const all = [...faults, ...stuck, ...stands]
  const [gravest] = all
  if (gravest === undefined) return { status: 'False', reason: 'AsExpected', message: 'nothing is wrong' }
  return { status: 'True', reason: gravest.reason, message: all.map(({ message }) => message).join('; ') }
}

function waitingForPods(count: number): string {
  return count === 0 ? 'removing the sessions' : `waiting for ${count} pods to end`
}

function isObserved(statefulSet: Observation['statefulSet']): boolean {
  return statefulSet?.status?.observedGeneration === statefulSet?.metadata.generation && statefulSet !== undefined
}
