import type { EventDraft } from '../../controller/event-recorder.ts'
import type { CleanupRecord } from '../api/imcluster.ts'

/** Tells that a gateway is dead, by what proof, and what was removed. */
export function buildSessionsCleaned(record: CleanupRecord): EventDraft {
  const { brokerId, podUid, bootId, proof, sessionsRemoved, orphansLeft } = record
  const what = `removed ${sessionsRemoved} sessions, left ${orphansLeft}; pod ${podUid}, boot ${bootId}`
  const note = `${brokerId} is dead (${proof.pod}, ${proof.lease}): ${what}`
  return { type: 'Normal', reason: 'SessionsCleaned', action: 'CleanUp', note }
}
