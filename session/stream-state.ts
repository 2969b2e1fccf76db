import { randomBytes } from 'node:crypto'

/** Where a stream stands. */
export interface StreamState {
  /** Changes when the stream was lost and begins anew: a seq means something only within its epoch. */
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

/** An epoch never used before. */
export function createEpoch(): string {
  return randomBytes(9).toString('base64url')
}

/** The state in a script's reply. */
export function streamState(epoch: string, seq: number, first: number): StreamState {
  return { epoch, head: seq, earliest: first }
}

/** A stored cursor, `<epoch>:<seq>`, or undefined when there is none. */
export function parseCursor(text: string | null): Cursor | undefined {
  const match = /^([^:]+):(\d{1,16})$/.exec(text ?? '')
  return match?.[1] ? { epoch: match[1], seq: Number(match[2]) } : undefined
}
