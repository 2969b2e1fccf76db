import type { StatefulSet } from '../build/objects.ts'
import type { Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'

/** How far a cluster was, and since when (performance.now(), ms). */
export interface Mark {
  readonly text: string
  readonly since: number
}

/** How far a cluster is: another text after each step, such as a pod that comes, is ready, leaves or is gone. */
export function markProgress(
  generation: number | undefined,
  statefulSet: StatefulSet | undefined,
  pods: readonly Pod[],
  now: number,
): Mark {
  const { readyReplicas = 0, updatedReplicas = 0 } = statefulSet?.status ?? {}
  const each = pods.map(({ metadata }) => `${metadata.uid} ${metadata.deletionTimestamp ?? ''}`).toSorted()
  return { text: [generation, readyReplicas, updatedReplicas, ...each].join('\n'), since: now }
}

/** The fault of a cluster that has come no further for longer than it may. */
export function findStandstill(mark: Mark, now: number, deadlineSeconds: number): Fault[] {
  if (now - mark.since < deadlineSeconds * 1000) return []
  const message = `no step was made for ${deadlineSeconds} s (spec.progressDeadlineSeconds)`
  return [{ reason: 'ProgressDeadlineExceeded', message }]
}
