import type { Inbox, StoredMessage } from '../../session/inbox/inbox.ts'
import { resume, type Cursor, type StreamState } from '../../session/inbox/stream-state.ts'
import type { UserRef } from '../../session/user-session.ts'
import type { Connection } from '../net/connection.ts'
import { EncodedFrame } from '../net/encoded-frame.ts'
import type { Logger } from '../logger.ts'
import type { Metrics } from '../metrics.ts'
import { awaitReader, mayGoOn } from './slow-consumer.ts'

/** The stream name of a user's inbox in frames. */
export const INBOX = 'inbox'

/** Messages and bytes of one read of the stream. */
const PAGE = { count: 64, bytes: 262_144 } as const
const RETRY_MS = 500

/**
 * - starting: the login is under way; pushes only tell how far the stream has come
 * - live: a push is written as it comes
 * - reading: what is missing is being read from the stream
 * - paused: too much waits for the client; goes on from the stream when it has left
 */
type State = 'starting' | 'live' | 'reading' | 'paused' | 'ended'

export interface DeliveryContext {
  readonly inbox: Inbox
  readonly metrics: Metrics
  readonly logger: Logger
  readonly slowConsumerTimeoutMs: number
}

/**
 * Writes one inbox to one connection: in the order of seq, without a hole, each message once (P1). Whatever a push leaves
 * out, because it was lost, came early or met a slow client, is read from the stream; what cannot be had any more is told
 * as a `gap` (P2).
 */
export class InboxDelivery {
  readonly #connection: Connection
  readonly #user: UserRef
  readonly #context: DeliveryContext
  #state: State = 'starting'
  #epoch = ''
  #delivered = 0
  /** The newest seq known of. */
  #head = 0
  /** While reading: the stream may have changed since the read began. */
  #stale = false
  #retryTimer: NodeJS.Timeout | undefined
  #slowTimer: NodeJS.Timeout | undefined

  constructor(connection: Connection, user: UserRef, context: DeliveryContext) {
    this.#connection = connection
    this.#user = user
    this.#context = context
  }

  /** What has been written so far. */
  get position(): Cursor {
    return { epoch: this.#epoch, seq: this.#delivered }
  }

  /** Begins after `cursor`, which the device has by itself, or as the login told it. */
  start(inbox: StreamState, cursor: Cursor): void {
    if (this.#state !== 'starting') return
    this.#state = 'live'
    // A push that came during the login may be newer than what the login saw.
    const head = Math.max(this.#head, inbox.head)
    this.#epoch = cursor.epoch
    this.#delivered = cursor.seq
    if (inbox.epoch !== cursor.epoch) this.#adopt(inbox)
    this.#head = head
    if (head !== this.#delivered) this.#read()
  }

  /** A message that was just appended; without its frame it is read. */
  push(epoch: string, seq: number, frame?: EncodedFrame): void {
    if (this.#state === 'ended') return
    if (this.#state === 'starting') {
      this.#head = Math.max(this.#head, seq)
      return
    }
    if (epoch !== this.#epoch) return this.#refresh()
    if (seq > this.#head) this.#head = seq
    if (this.#state !== 'live' || seq <= this.#delivered) return
    if (frame === undefined || seq !== this.#delivered + 1) this.#read()
    else if (!this.#connection.takes(frame.size)) this.#pause()
    else this.#write(seq, frame)
  }

  /** The stream was looked at: catches up when a push was lost, or when the stream was (undefined). */
  compare(stream: StreamState | undefined): void {
    if (this.#state === 'starting' || this.#state === 'ended') return
    if (stream?.epoch !== this.#epoch || stream.head !== this.#delivered) this.#refresh()
  }

  /** Bytes have left for the client, or there may be room again in the gateway's memory. */
  flushed(): void {
    if (this.#state !== 'paused' || !mayGoOn(this.#connection)) return
    clearTimeout(this.#slowTimer)
    this.#read()
  }

  end(): void {
    this.#state = 'ended'
    clearTimeout(this.#retryTimer)
    clearTimeout(this.#slowTimer)
  }

  #write(seq: number, frame: EncodedFrame): void {
    this.#delivered = seq
    this.#connection.sendEncoded(frame)
    this.#context.metrics.delivered.inc('durable')
  }

  #pause(): void {
    this.#state = 'paused'
    this.#slowTimer = awaitReader(this.#connection, this.#context)
  }

  /** Looks at the stream, again if that is under way; a paused delivery does so when it goes on. */
  #refresh(): void {
    this.#stale = true
    if (this.#state === 'live') this.#read()
  }

  #read(): void {
    if (this.#state === 'reading' || this.#state === 'ended') return
    this.#state = 'reading'
    clearTimeout(this.#retryTimer)
    this.#readPages().catch((err: unknown) => {
      if (this.#ended) return
      this.#context.logger.debug({ err, connectionId: this.#connection.id }, 'cannot read the inbox; trying again')
      this.#retryTimer = setTimeout(() => {
        this.#state = 'live'
        this.#read()
      }, RETRY_MS)
    })
  }

  /** A method, because the compiler takes the state for constant across an await. */
  get #ended(): boolean {
    return this.#state === 'ended'
  }

  async #readPages(): Promise<void> {
    do {
      const bytes = this.#connection.reserve(PAGE.bytes)
      if (bytes === 0) return this.#pause()
      this.#stale = false
      const known = this.#head
      const limits = { count: PAGE.count, bytes }
      const reading = this.#context.inbox.read(this.#user, this.#delivered, limits)
      const page = await reading.finally(() => this.#connection.release(bytes))
      this.#context.metrics.streamReads.inc()
      if (this.#ended) return
      if (page.epoch !== this.#epoch) {
        this.#adopt(page)
        continue
      }
      if (page.head < this.#delivered) {
        const forked = await this.#context.inbox.fork(this.#user, this.#epoch, this.#delivered)
        if (this.#ended) return
        this.#adopt(forked)
        continue
      }
      // Only a push that came during the read can be newer than what was read.
      this.#head = this.#head > known ? Math.max(this.#head, page.head) : page.head
      this.#writePage(page.messages, page)
    } while (!this.#ended && (this.#stale || this.#head > this.#delivered))
    if (!this.#ended) this.#state = 'live'
  }

  #writePage(messages: readonly StoredMessage[], { head }: StreamState): void {
    for (const message of messages) {
      this.#skipTo(message.seq - 1)
      this.#write(message.seq, EncodedFrame.of({ type: 'message', stream: INBOX, ...message }))
    }
    if (messages.length === 0) this.#skipTo(head)
  }

  /** Goes on after `seq`; what lies before it is retained no more. */
  #skipTo(seq: number): void {
    if (seq <= this.#delivered) return
    this.#gap('trimmed', this.#delivered + 1, seq)
    this.#delivered = seq
  }

  /**
   * The stream goes on under another epoch than the device knows, which is told of it by a gap: an empty one when it has
   * nothing that the stream has not.
   */
  #adopt(stream: StreamState): void {
    const { seq, lost } = resume(stream, this.position)
    this.#epoch = stream.epoch
    this.#delivered = seq
    this.#head = stream.head
    if (lost) this.#gap('reset', 0, seq)
    else this.#sendGap('trimmed', seq + 1, seq)
  }

  #gap(reason: 'trimmed' | 'reset', fromSeq: number, toSeq: number): void {
    this.#context.metrics.gaps.inc({ reason })
    this.#sendGap(reason, fromSeq, toSeq)
  }

  #sendGap(reason: 'trimmed' | 'reset', fromSeq: number, toSeq: number): void {
    this.#connection.send({ type: 'gap', stream: INBOX, epoch: this.#epoch, fromSeq, toSeq, reason })
  }
}
