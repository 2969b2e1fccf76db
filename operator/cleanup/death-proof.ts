import type { Incarnation } from '../../session/brokers/broker.ts'
import type { PodFacts } from '../reads/pod.ts'

/**
 * Why a process can no longer run:
 * - PodGone: there is no pod of its name
 * - PodReplaced: the pod of its name has another UID
 * - ContainerEnded: its pod is there, but the container that it ran in has ended
 */
export type PodProof = 'PodGone' | 'PodReplaced' | 'ContainerEnded'

/** Why the lease is no obstacle: it ran out, names another boot, or was given up by a gateway that left in good order. */
export type LeaseProof = 'LeaseExpired' | 'LeaseOfAnotherBoot' | 'LeaseReleased'

/**
 * The proof that a process no longer runs, or undefined while there is none (P4). A node that does not answer is none: its
 * pod keeps its UID and its running container, and the process may well serve clients still.
 *
 * @param pod from an uncached read, undefined when there is no such pod
 */
export function findPodProof({ podUid, startedAt }: Incarnation, pod: PodFacts | undefined): PodProof | undefined {
  if (pod === undefined) return 'PodGone'
  if (pod.uid !== podUid) return 'PodReplaced'
  const { runningSince, endedAt } = pod.gateway
  // Kubelet and process share the node's clock. Its times are whole seconds, rounded down: "later than" is certain.
  const later = runningSince ?? endedAt
  return later !== undefined && later.getTime() > startedAt ? 'ContainerEnded' : undefined
}
