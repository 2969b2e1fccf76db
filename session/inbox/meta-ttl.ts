export interface Retentions {
  readonly retentionMs: number
  readonly cursorRetentionMs: number
}

/** The end of a list is put off by so much more than the retention at most (`lateOf` in list.lua). */
const LATE_MS = 60_000

/** How long the meta data of an idle inbox are kept, ms. An epoch that ended before its messages would look like a loss. */
export function metaTtlOf({ retentionMs, cursorRetentionMs }: Retentions): number {
  return Math.max(cursorRetentionMs, retentionMs + LATE_MS)
}
