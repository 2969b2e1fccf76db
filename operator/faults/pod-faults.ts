import type { Pod } from '../reads/pod.ts'
import { findConfigError } from './config-error.ts'
import { findCrashLoop } from './crash-loop.ts'
import type { Fault } from './fault.ts'
import { findImagePullFailed } from './image-pull-failed.ts'
import { findUnschedulable } from './unschedulable.ts'

/** What may be wrong with one pod. */
const finders = [findImagePullFailed, findCrashLoop, findConfigError, findUnschedulable]

/** What the status of pods says is wrong with them: at most one fault for each pod. */
export function findPodFaults(pods: readonly Pod[]): Fault[] {
  const present = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  return present.flatMap((pod) => finders.flatMap((find) => find(pod) ?? []).slice(0, 1))
}
