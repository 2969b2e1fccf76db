import type { Condition } from './imcluster.ts'

/**
 * The conditions of an ImCluster. Each is judged, and worded, in a file of its name in conditions/; what is wrong, and may be the
 * reason of Degraded and Ready, in a file of its reason in faults/.
 * - Ready: clients can connect to as many gateways as are wanted
 * - Progressing: the cluster is on its way to what the spec says
 * - Draining: a gateway is sending its clients to others
 * - Degraded: something is wrong that does not pass by itself, or takes too long
 * - Durable: a restart of Redis keeps what was accepted; a try-out may do without
 */
export const conditionTypes = ['Ready', 'Progressing', 'Draining', 'Degraded', 'Durable'] as const
export type ConditionType = (typeof conditionTypes)[number]

/** What a condition says; when it began to is kept by `setCondition`. `reason` is one word in CamelCase. */
export interface ConditionState {
  readonly type: ConditionType
  readonly status: Condition['status']
  readonly reason: string
  readonly message: string
  /** The metadata.generation that it is about. */
  readonly observedGeneration: number
}

/** What is judged of a condition. */
export type Verdict = Pick<ConditionState, 'status' | 'reason' | 'message'>

/** The CRD's bound. */
const MAX_MESSAGE = 32_768

/**
 * Sets a condition. `lastTransitionTime` becomes `now` only when the status changes. Returns the very same list when
 * nothing changes, so that a caller sees that there is nothing to write.
 */
export function setCondition(
  conditions: readonly Condition[],
  state: ConditionState,
  now: Date = new Date(),
): readonly Condition[] {
  const former = findCondition(conditions, state.type)
  const next: Condition = {
    ...state,
    message: state.message.slice(0, MAX_MESSAGE),
    lastTransitionTime: former?.status === state.status ? former.lastTransitionTime : formatTime(now),
  }
  if (former === undefined) return [...conditions, next]
  const keys = ['reason', 'message', 'observedGeneration', 'lastTransitionTime'] as const
  if (keys.every((key) => former[key] === next[key])) return conditions
  return conditions.map((condition) => (condition === former ? next : condition))
}

/** The condition of a type, if it was ever set. */
export function findCondition(conditions: readonly Condition[], type: ConditionType): Condition | undefined {
  return conditions.find((condition) => condition.type === type)
}

/** A time as Kubernetes writes it: RFC 3339, whole seconds. */
export function formatTime(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z')
}
