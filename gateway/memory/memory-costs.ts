import { limits, type FrameOf } from '../../protocol/frames.ts'

/**
 * What is held for a frame in times of its bytes: those that came, and a copy: in the decoder while a frame comes in parts,
 * on the way to Redis once it is whole.
 */
export const COPIES = 2
/** What one write that waits for a client holds besides its bytes. */
export const WRITE_BYTES = 256
/** What a request in flight holds besides its bytes: promises, the command for Redis and its arguments. */
export const REQUEST_BYTES = 2_048
/** What the sessions of one user that presence asks for may hold, and the answer. */
const PRESENCE_BYTES = 1_024

/** Bytes that a send holds until it is answered. */
export function costOfSend({ payload }: FrameOf<'send'>): number {
  return payload.length * COPIES + REQUEST_BYTES
}

/** Bytes that a question for presence may hold until it is answered; too many users are refused at once. */
export function costOfPresence({ userIds }: FrameOf<'presence'>): number {
  return Math.min(userIds.length, limits.presenceUsers) * PRESENCE_BYTES + REQUEST_BYTES
}
