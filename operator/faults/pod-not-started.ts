import type { KubeApi } from '../../controller/api.ts'
import { readEventsOf, type PastEvent } from '../reads/events.ts'
import { readWaiting, type Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'

/** Pods that are looked at: what holds up the first mostly holds up all. */
const MOST_PODS = 3

/**
 * Pods that are scheduled and whose container has not begun: what holds them up, such as a volume, is not in their status.
 *
 * @throws ApiError when the API server cannot be asked
 */
export async function findPodsNotStarted(api: KubeApi, pods: readonly Pod[], signal: AbortSignal): Promise<Fault[]> {
  const waiting = pods.filter(
    (pod) => pod.metadata.deletionTimestamp === undefined && readWaiting(pod)?.reason === 'ContainerCreating',
  )
  const faults: Fault[] = []
  for (const { metadata } of waiting.slice(0, MOST_PODS)) {
    const fault = buildPodNotStarted(metadata.name, await readEventsOf(api, 'Pod', metadata, signal))
    if (fault !== undefined) faults.push(fault)
  }
  return faults
}

/** The newest warning about a pod that does not start. */
export function buildPodNotStarted(pod: string, told: readonly PastEvent[]): Fault | undefined {
  const [warning] = told.filter(({ reason }) => reason.startsWith('Failed')).toSorted((a, b) => b.at - a.at)
  return warning && { reason: 'PodNotStarted', message: `pod ${pod}: ${warning.note}` }
}
