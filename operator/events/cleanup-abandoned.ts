import type { EventDraft } from '../../controller/event-recorder.ts'

/** Tells that a deletion passed its deadline. @param why what it waited for */
export function buildCleanupAbandoned(why: string): EventDraft {
  const note = `gave up waiting, sessions of the cluster may be left in Redis: ${why}`
  return { type: 'Warning', reason: 'CleanupAbandoned', action: 'Delete', note }
}
