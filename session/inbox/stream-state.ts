import { agreedSeq } from './epoch.ts'

/** Where a stream stands. */
export interface StreamState {
  /**
   * Another one when the stream was lost and begins anew, or when its history may have been cut. A seq means something only
   * within its epoch; `agreedSeq` compares two.
   */
  readonly epoch: string
  /** The newest seq; 0 before the first message. */
  readonly head: number
  /** The first retained seq; head + 1 when nothing is retained. */
  readonly earliest: number
}

/** The last seq of a stream that a device has acknowledged. */
export interface Cursor {
  readonly epoch: string
  readonly seq: number
}

/** Where a device goes on: after `seq` of the stream's own epoch. `lost`: it has, or missed, what the stream has not. */
export interface Resumption {
  readonly seq: number
  readonly lost: boolean
}

/** Where a device with this cursor goes on: where it is, if the stream agrees up to there; else where they part. */
export function resume({ epoch, head, earliest }: StreamState, cursor: Cursor): Resumption {
  const agreed = agreedSeq(epoch, cursor.epoch)
  if (agreed === undefined) return { seq: earliest - 1, lost: true }
  const common = Math.min(agreed, head)
  if (cursor.seq <= common) return { seq: cursor.seq, lost: false }
  return { seq: Math.max(common, earliest - 1), lost: true }
}

/** The state in a function's reply. */
export function streamState(epoch: string, seq: number, first: number): StreamState {
  return { epoch, head: seq, earliest: first }
}

/** A stored cursor, `<epoch>:<seq>`, or undefined when there is none. */
export function parseCursor(text: string | null): Cursor | undefined {
  const match = /^([^:]+):(\d{1,16})$/.exec(text ?? '')
  return match?.[1] ? { epoch: match[1], seq: Number(match[2]) } : undefined
}
