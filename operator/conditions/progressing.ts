import type { Verdict } from '../api/conditions.ts'
import { PREFIX_CONFLICT } from '../faults/prefix-conflict.ts'
import { isObserved, type Observation } from './observation.ts'

/** Whether the cluster is on its way to what the spec says, and at what step; or it stands still there for too long. */
export function judgeProgressing(observation: Observation): Verdict {
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

/** Whether a step is due that is not made for too long. */
export function standsStill(observation: Observation): boolean {
  return observation.standstill !== undefined && judgeStep(observation).status === 'True'
}

function waitingForPods(count: number): string {
  return count === 0 ? 'removing the sessions' : `waiting for ${count} pods to end`
}
