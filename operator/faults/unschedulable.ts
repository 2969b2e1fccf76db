import type { Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'

/** A pod that no node takes. */
export function findUnschedulable({ metadata: { name }, status }: Pod): Fault | undefined {
  const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status !== 'False') return undefined
  return { reason: 'Unschedulable', message: `pod ${name}: ${scheduled.message ?? 'no node takes it'}` }
}
