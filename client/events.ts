import type { Advice } from '../protocol/codes.ts'
import type { FrameOf } from '../protocol/frames.ts'
import type { ClientError, ClientErrorCode } from './errors.ts'
import type { Gap, Message } from './message.ts'

/** Logged in, over this connection from now on. */
export interface Connected {
  readonly url: string
  readonly brokerId: string
  readonly connectionId: string
  readonly appId: number
  readonly userId: string
  /** Whether it took the place of a connection that was still up: a hand-over. */
  readonly handOver: boolean
}

/** There is no connection. Comes when one is lost, and again for each attempt that failed. */
export interface Disconnected {
  readonly code: ClientErrorCode
  readonly message: string
  readonly advice: Advice
  /** When the next attempt comes, in milliseconds from now. */
  readonly retryInMs: number
  /** 0 when a connection was lost, then the number of attempts that failed. */
  readonly attempt: number
  readonly error: ClientError
}

/** The client is done and does not connect again. */
export interface Closed {
  readonly code: ClientErrorCode
  readonly message: string
  /** Who ended it: this client's `close()`, or a gateway. */
  readonly by: 'client' | 'gateway'
  /** The class of the device that took this one's place (`displaced`), if that is why. */
  readonly clientType: number | undefined
  readonly error: ClientError
}

export interface ClientEvents {
  connected: Connected
  message: Message
  gap: Gap
  /** Another device of this user logged in or left. */
  notice: Pick<FrameOf<'notice'>, 'event' | 'clientType' | 'imei'>
  disconnected: Disconnected
  closed: Closed
  /** A listener for messages failed, a token could not be renewed, or a gateway reports something that answers no request. */
  error: Error
}
