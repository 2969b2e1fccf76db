import { findCondition, type ConditionType } from '../api/conditions.ts'
import type { Condition } from '../api/imcluster.ts'
import type { EventDraft } from '../../controller/event-recorder.ts'

/** Reasons of Progressing that pass by themselves within moments: told by what comes after. */
const passing = new Set(['Starting'])

/**
 * The Events that tell of a change of conditions: what the cluster begins to do and has done, that it is ready, what is wrong,
 * and when that is over. None when nothing has changed, so that an idle cluster is not told of.
 */
export function buildTransitionEvents(former: readonly Condition[], conditions: readonly Condition[]): EventDraft[] {
  const changed = (type: ConditionType) => {
    const [before, after] = [findCondition(former, type), findCondition(conditions, type)]
    return after !== undefined && (before?.status !== after.status || before.reason !== after.reason)
      ? { before, after }
      : undefined
  }
  return [
    ...tellProgress(changed('Progressing')),
    ...tellReadiness(changed('Ready')),
    ...tellTrouble(changed('Degraded')),
    ...tellDurability(changed('Durable')),
  ]
}

type Change = { readonly before: Condition | undefined; readonly after: Condition } | undefined

function tellProgress(change: Change): EventDraft[] {
  if (change === undefined) return []
  const { status, reason, message } = change.after
  // However far it has come by the first look.
  const isNew = change.before === undefined && status === 'True'
  if (passing.has(reason) && !isNew) return []
  return [{ type: 'Normal', reason: isNew ? 'Creating' : reason, action: 'Reconcile', note: message }]
}

function tellReadiness(change: Change): EventDraft[] {
  // That it is not (yet, or any more) is told by what it does, or by what is wrong.
  if (change?.after.status !== 'True' || change.before?.status === 'True') return []
  return [{ type: 'Normal', reason: change.after.reason, action: 'BecomeReady', note: change.after.message }]
}

function tellTrouble(change: Change): EventDraft[] {
  if (change === undefined) return []
  const { before, after } = change
  if (after.status === 'True') {
    return [{ type: 'Warning', reason: after.reason, action: 'Degrade', note: after.message }]
  }
  if (before?.status !== 'True') return []
  return [{ type: 'Normal', reason: 'Recovered', action: 'Recover', note: `it is over: ${before.message}` }]
}

/** Only what changes: a try-out that never kept anything is not warned of. */
function tellDurability(change: Change): EventDraft[] {
  if (change === undefined) return []
  const { before, after } = change
  if (before?.status === 'True' && after.status === 'False') {
    return [{ type: 'Warning', reason: after.reason, action: 'Reconcile', note: after.message }]
  }
  if (before?.status === 'False' && after.status === 'True') {
    return [{ type: 'Normal', reason: after.reason, action: 'Reconcile', note: after.message }]
  }
  return []
}
