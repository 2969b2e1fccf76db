import type { Verdict } from '../api/conditions.ts'
import { isObserved, type Observation } from './observation.ts'

/** Whether clients can connect to as many gateways as are wanted; if not, for which fault. */
export function judgeReady({ cluster, statefulSet, directory, faults }: Observation): Verdict {
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
