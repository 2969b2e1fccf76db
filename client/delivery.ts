import { Handled } from './handled.ts'
import { Message, type Cursor, type Gap } from './message.ts'

/**
 * Takes one message. When it returns a promise, the next message waits until that resolves; it must not reject. False, or a
 * promise of false, leaves the message unhandled.
 */
export type Consumer = (message: Message) => unknown

/** From here on the stream has another epoch; nothing is missing. */
export interface Renaming {
  readonly renamedTo: string
}

export interface DeliveryLimits {
  /** Messages, and bytes of their payloads, that may wait for the application. */
  readonly maxQueuedMessages: number
  readonly maxQueuedMessageBytes: number
  /** Messages handed out and not handled, past which no more are handed out. */
  readonly maxUnacked: number
}

export interface DeliveryEvents {
  gap(gap: Gap): void
  /** The position moved on. */
  handled(): void
  /** A message was refused for lack of room, and now at least half of the room is free. */
  room(): void
}

/** Hands messages to the application, one at a time and in order, and knows how far it has handled them. */
export class Delivery {
  readonly #manual: boolean
  readonly #limits: DeliveryLimits
  readonly #events: DeliveryEvents
  readonly #queue: (Message | Gap | Renaming)[] = []
  #bytes = 0
  #refused = false
  #handled: Handled | undefined
  #consumer: Consumer | undefined
  #busy = false
  #stopped = false

  /** `manual`: a message is handled when its `ack()` was called, else when the consumer is done with it. */
  constructor(manual: boolean, limits: DeliveryLimits, events: DeliveryEvents) {
    this.#manual = manual
    this.#limits = limits
    this.#events = events
  }

  /** How far the application has handled the stream; undefined before `begin`. */
  get position(): Cursor | undefined {
    return this.#handled?.position
  }

  /** Where the stream begins for this client. */
  begin(cursor: Cursor): void {
    this.#handled = new Handled(cursor)
  }

  /** Queues a message, or what is between two. Returns false, and forgets it, when there is no room. */
  offer(item: Message | Gap | Renaming): boolean {
    if (this.#stopped) return false
    const { maxQueuedMessages, maxQueuedMessageBytes } = this.#limits
    const bytes = this.#bytes + bytesOf(item)
    // A single message is always taken, however large.
    if (this.#queue.length > 0 && (this.#queue.length >= maxQueuedMessages || bytes > maxQueuedMessageBytes)) {
      this.#refused = true
      return false
    }
    this.#bytes = bytes
    this.#queue.push(item)
    this.#pump()
    return true
  }

  /** Sets who takes messages; without anyone they wait. */
  consume(consumer: Consumer | undefined): void {
    this.#consumer = consumer
    this.#pump()
  }

  /** A message is handled. */
  finish(message: Message): void {
    const moved = message.durable && this.#handled?.finish(message.epoch, message.seq)
    if (!moved) return
    this.#events.handled()
    this.#pump()
  }

  /** Hands out no more. */
  stop(): void {
    this.#stopped = true
    this.#queue.length = 0
    this.#bytes = 0
  }

  #pump(): void {
    while (!this.#busy && !this.#stopped && this.#consumer && (this.#handled?.pending ?? 0) < this.#limits.maxUnacked) {
      const item = this.#queue.shift()
      if (item === undefined) return
      this.#bytes -= bytesOf(item)
      // Whatever the application does meanwhile, the next one waits until this one is done.
      this.#busy = true
      const waiting = item instanceof Message ? this.#hand(item, this.#consumer) : this.#pass(item)
      if (!waiting) this.#busy = false
      this.#tellRoom()
    }
  }

  /** Returns whether the consumer goes on with the message. */
  #hand(message: Message, consumer: Consumer): boolean {
    if (message.durable) this.#handled?.handOut(message.seq)
    const done = consumer(message)
    if (done instanceof Promise) {
      void done.then((handled) => {
        this.#done(message, handled)
        this.#busy = false
        this.#pump()
      })
      return true
    }
    this.#done(message, done)
    return false
  }

  #done(message: Message, handled: unknown): void {
    if (handled !== false && !this.#manual) this.finish(message)
  }

  #pass(item: Gap | Renaming): boolean {
    if ('renamedTo' in item) this.#handled?.rename(item.renamedTo)
    else {
      this.#handled?.skip({ epoch: item.epoch, seq: item.toSeq })
      this.#events.gap(item)
    }
    this.#events.handled()
    return false
  }

  #tellRoom(): void {
    const { maxQueuedMessages, maxQueuedMessageBytes } = this.#limits
    if (!this.#refused || this.#queue.length * 2 > maxQueuedMessages || this.#bytes * 2 > maxQueuedMessageBytes) return
    this.#refused = false
    this.#events.room()
  }
}

function bytesOf(item: Message | Gap | Renaming): number {
  return item instanceof Message ? item.payload.length : 0
}
