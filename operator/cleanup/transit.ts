import type { Lease, RegisteredIncarnation } from '../../session/brokers/broker.ts'
import type { KnownBroker } from './drained-brokers.ts'
import type { PodFacts } from '../reads/pod.ts'

/** How long a process may take from its register entry to its lease, out of the directory, and to its end when its pod's time is over. */
const ARRIVE_MS = 15_000
const LEAVE_MS = 60_000
const END_MS = 10_000

/** What is known of a process without a lease whose end is not proved. */
export interface Absence {
  /** Its entry in the register, read after its lease was seen to be gone; undefined when there is none any more. */
  readonly entry: RegisteredIncarnation | undefined
  /** Who holds the lease of its name. */
  readonly holder: Lease | undefined
  readonly pod: PodFacts | undefined
  /** As the status shows it. */
  readonly known: KnownBroker | undefined
}

/**
 * Whether a process without a lease is only arriving or leaving, or has left, and the kubelet has not told of its end yet; else
 * it is lost. That it leaves it says itself, first of all; its pod does, where it was not lost before; and a pod runs one
 * process at a time, so that who holds the lease for the same pod is its successor.
 *
 * @param now milliseconds since 1970. Clocks of machines may differ by seconds, which is little beside these times
 */
export function isInTransit({ entry, holder, pod, known }: Absence, now = Date.now()): boolean {
  if (entry === undefined) return true
  if (now - entry.startedAt < ARRIVE_MS) return true
  if (entry.leftAt !== undefined && now - entry.leftAt < LEAVE_MS) return true
  if (holder?.podUid === entry.podUid) return true
  const endsBy = pod?.endsBy?.getTime()
  return endsBy !== undefined && now < endsBy + END_MS && known?.state !== 'lost'
}
