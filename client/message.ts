import type { FrameOf } from '../protocol/frames.ts'

const decoder = new TextDecoder()

/** A position in a stream: everything up to and including `seq` is done. A seq means something only within its epoch. */
export interface Cursor {
  readonly epoch: string
  readonly seq: number
}

/** Messages that are not to be had any more: `fromSeq` to `toSeq` passed the retention, or the stream lost some. */
export interface Gap {
  readonly stream: string
  /** The epoch under which delivery goes on, with `toSeq + 1`; after a `reset` that may be less than what there was. */
  readonly epoch: string
  readonly fromSeq: number
  readonly toSeq: number
  readonly reason: 'trimmed' | 'reset'
}

/** A message that came for this user. */
export class Message {
  readonly stream: string
  readonly epoch: string
  /** Its place in the stream; 0 for a transient message. */
  readonly seq: number
  /** The user who sent it, and the class of the device. */
  readonly from: string
  readonly clientType: number
  readonly messageId: string
  /** When the gateway took it, in milliseconds since 1970. */
  readonly sentAt: number
  readonly payload: Uint8Array
  readonly #handled: (message: Message) => void

  /** `handled` is called for each `ack()`. */
  constructor(frame: FrameOf<'message'>, epoch: string, handled: (message: Message) => void) {
    this.stream = frame.stream
    this.epoch = epoch
    this.seq = frame.seq
    this.from = frame.from
    this.clientType = frame.clientType
    this.messageId = frame.messageId
    this.sentAt = frame.sentAt
    this.payload = frame.payload
    this.#handled = handled
  }

  /** Whether it is part of the stream, and is kept until it is acknowledged. */
  get durable(): boolean {
    return this.seq > 0
  }

  /** The payload as UTF-8; what is not valid becomes U+FFFD. */
  text(): string {
    return decoder.decode(this.payload)
  }

  /** Says that the message is handled. Only needed with `ack: 'manual'`; harmless otherwise, and when repeated. */
  ack(): void {
    this.#handled(this)
  }
}
