import type { EventDraft } from '../../controller/event-recorder.ts'
import type { CleanupRecord, ImCluster } from '../api/imcluster.ts'

/** Tells of clients that a drain did not move, and what would have let them; undefined when there are none. */
export function buildDrainCutClients(
  { spec }: ImCluster,
  { brokerId, clientsCutOff = 0, proof }: CleanupRecord,
): EventDraft | undefined {
  if (clientsCutOff === 0) return undefined
  const { deadlineSeconds, rate } = spec.drain
  const cause =
    proof.lease === 'LeaseReleased'
      ? `they had not moved within ${deadlineSeconds} s, at ${rate} a second; raise spec.drain.deadlineSeconds or spec.drain.rate, and see that clients understand goAway`
      : 'it was ended before its drain was over; see who shortens the grace period of its pod'
  const note = `${brokerId} left and cut off ${clientsCutOff} clients: ${cause}`
  return { type: 'Warning', reason: 'DrainCutClients', action: 'Drain', note }
}
