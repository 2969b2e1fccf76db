import type { ImCluster } from '../api/imcluster.ts'
import type { StatefulSet } from '../build/objects.ts'
import type { Pod } from '../reads/pod.ts'
import type { CleanupRound } from '../cleanup/broker-cleanup.ts'
import type { Fault } from '../faults/fault.ts'

/** Everything that the status is made of, as one pass saw it. */
export interface Observation {
  readonly cluster: ImCluster
  readonly statefulSet: StatefulSet | undefined
  readonly pods: readonly Pod[]
  readonly directory: DirectoryState
  /** It has come no further for longer than spec.progressDeadlineSeconds, if it is on its way at all. */
  readonly standstill?: Fault | undefined
  /** Secrets that gateways do not use as they are yet. */
  readonly changing?: Fault | undefined
  /** What is wrong, the gravest first. */
  readonly faults: readonly Fault[]
}

/** What the directory says of the cluster's brokers, or why it cannot be asked. */
export type DirectoryState =
  { readonly round: CleanupRound; readonly fault?: never } | { readonly round?: never; readonly fault: Fault }

/** Whether the StatefulSet controller has seen the newest StatefulSet. */
export function isObserved(statefulSet: Observation['statefulSet']): boolean {
  return statefulSet?.status?.observedGeneration === statefulSet?.metadata.generation && statefulSet !== undefined
}
