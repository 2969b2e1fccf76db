/**
 * A mistake in the spec, or in what is around the cluster, that no retry cures; told by the condition Degraded. Each has a file
 * that is named after its reason: CrashLoop is found, and worded, in crash-loop.ts.
 */
export interface Fault {
  /** One word in CamelCase. */
  readonly reason: string
  /** What is wrong, and what to do. */
  readonly message: string
}
