import type { FrameOf } from '../protocol/frames.ts'
import type { Delivery } from './delivery.ts'
import { Message, type Cursor } from './message.ts'

/** The stream of a user's own messages, and the only one there is. */
export const INBOX = 'inbox'

/** What the inbox needs to know of a connection. */
export interface Source {
  readonly resumedEpoch: string
  readonly session: Pick<FrameOf<'loggedIn'>, 'epoch' | 'seq'>
}

export interface InboxEvents {
  /** A connection brings something that cannot follow. */
  broken(source: Source): void
  /** A connection brought what another one had brought before. */
  repeated(): void
}

/**
 * Makes one gapless sequence without repeats out of what several connections bring, one after the other or, during a
 * hand-over, at once.
 */
export class Inbox {
  readonly #delivery: Delivery
  readonly #events: InboxEvents
  #cursor: Cursor | undefined
  /** What a connection has brought; its epoch is empty while it owes a `gap` for one that it was not resumed in. */
  readonly #brought = new WeakMap<Source, Cursor>()
  /** Connections that missed a message here, so that nothing that they bring fits any more. */
  readonly #stalled = new WeakSet<Source>()

  constructor(cursor: Cursor | undefined, delivery: Delivery, events: InboxEvents) {
    this.#delivery = delivery
    this.#events = events
    this.#cursor = cursor
    if (cursor) delivery.begin(cursor)
  }

  /** The last message taken over, handled or still queued; where a new connection is to go on. */
  get cursor(): Cursor | undefined {
    return this.#cursor
  }

  /** Whether messages of this connection were dropped for lack of room. */
  isStalled(source: Source): boolean {
    return this.#stalled.has(source)
  }

  /**
   * What of a position can be acknowledged over the connection: a gateway takes no acknowledgement of what it has not brought
   * itself, though another one has. Undefined when the position is of another epoch.
   */
  limitTo(source: Source, { epoch, seq }: Cursor): Cursor | undefined {
    const brought = this.#brought.get(source)
    return brought?.epoch === epoch ? { epoch, seq: Math.min(seq, brought.seq) } : undefined
  }

  /** A connection was logged in. */
  attach(source: Source): void {
    const { epoch, seq } = source.session
    const resumed = source.resumedEpoch === '' || source.resumedEpoch === epoch
    this.#brought.set(source, { epoch: resumed ? epoch : '', seq })
    if (this.#cursor) return
    this.#cursor = { epoch, seq }
    this.#delivery.begin(this.#cursor)
  }

  message(source: Source, frame: FrameOf<'message'>): void {
    const build = (epoch: string) => new Message(frame, epoch, (message) => this.#delivery.finish(message))
    if (frame.seq === 0) {
      // Transient: when there is no room it is gone, as it would be for a device that is away.
      this.#delivery.offer(build(''))
      return
    }
    const cursor = this.#cursor
    if (frame.stream !== INBOX || cursor === undefined || this.#stalled.has(source)) return
    const { epoch = '' } = this.#brought.get(source) ?? {}
    if (epoch !== cursor.epoch) {
      if (epoch === '') this.#break(source)
      return
    }
    this.#brought.set(source, { epoch, seq: frame.seq })
    if (frame.seq <= cursor.seq) return this.#events.repeated()
    if (frame.seq > cursor.seq + 1) return this.#break(source)
    if (this.#delivery.offer(build(cursor.epoch))) this.#cursor = { epoch, seq: frame.seq }
    else this.#stalled.add(source)
  }

  gap(source: Source, frame: FrameOf<'gap'>): void {
    const cursor = this.#cursor
    if (frame.stream !== INBOX || cursor === undefined || this.#stalled.has(source)) return
    if (frame.epoch !== cursor.epoch && frame.fromSeq > frame.toSeq) return this.#rename(source, frame)
    const known = frame.epoch === cursor.epoch
    // The other connection of a hand-over told it already.
    const repeated =
      known &&
      (frame.reason === 'trimmed' ? frame.toSeq <= cursor.seq : this.#brought.get(source)?.epoch !== frame.epoch)
    const { stream, epoch, toSeq, reason } = frame
    const fromSeq = known && reason === 'trimmed' ? Math.max(frame.fromSeq, cursor.seq + 1) : frame.fromSeq
    if (!repeated && !this.#delivery.offer({ stream, epoch, fromSeq, toSeq, reason })) {
      this.#stalled.add(source)
      return
    }
    this.#brought.set(source, { epoch, seq: toSeq })
    if (!repeated) this.#cursor = { epoch, seq: toSeq }
  }

  /** The stream goes on under another epoch, and up to `toSeq` this client's own messages are part of it. */
  #rename(source: Source, { epoch, toSeq: seq }: FrameOf<'gap'>): void {
    // Whether what another connection has brought beyond it is, too, the gateway knows: a new connection asks with that.
    if (seq !== this.#cursor?.seq) return this.#break(source)
    if (!this.#delivery.offer({ renamedTo: epoch })) {
      this.#stalled.add(source)
      return
    }
    this.#brought.set(source, { epoch, seq })
    this.#cursor = { epoch, seq }
  }

  #break(source: Source): void {
    this.#stalled.add(source)
    this.#events.broken(source)
  }
}
