import { Ledger } from './ledger.ts'
import type { MessageKind, Wire, WireHandlers } from './wires/wire.ts'
import type { WireKind } from './wires/wires.ts'

export interface UserEvents {
  /** A message has come that was due to be sent then, on the clock of `performance.now()`. */
  onDelivered(dueAt: number): void
  /** Room for another send. */
  onAnswered(user: LoadUser): void
  onFailed(error: Error): void
}

/** One user of the load, who sends to a partner and checks what comes from there. */
export class LoadUser {
  readonly id: string
  readonly ledger = new Ledger()
  sent = 0
  answered = 0
  readonly #kind: MessageKind
  readonly #events: UserEvents
  /** Due times of messages for which there was no room, oldest first. */
  readonly #waiting: number[] = []
  #partner: LoadUser | undefined
  #wire: Wire | undefined

  constructor(id: string, kind: MessageKind, events: UserEvents) {
    this.id = id
    this.#kind = kind
    this.#events = events
  }

  /** Messages that wait for room. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Messages of the partner that have not come. */
  get lost(): number {
    return this.ledger.countLost(this.#partner?.sent ?? 0)
  }

  pairWith(partner: LoadUser): void {
    this.#partner = partner
  }

  /** Connects and logs in; rejects when it is refused. */
  async login(url: string, { open, answers }: WireKind): Promise<void> {
    const handlers: WireHandlers = {
      onMessage: (from, number, dueAt) => {
        if (from !== this.#partner?.id) return this.#events.onFailed(new Error(`${this.id} got a message of ${from}`))
        this.ledger.receive(number)
        this.#events.onDelivered(dueAt)
        if (!answers) this.#partner.takeAnswer()
      },
      onAnswer: () => this.takeAnswer(),
      onFailed: (error) => this.#events.onFailed(error),
    }
    this.#wire = await open(url, { userId: this.id }, this.#kind, handlers)
  }

  /** Sends a message now, or as soon as enough of those before it are answered. */
  send(dueAt: number): void {
    if (this.sent - this.answered < this.#kind.inFlight) this.#send(dueAt)
    else this.#waiting.push(dueAt)
  }

  takeAnswer(): void {
    this.answered += 1
    const dueAt = this.#waiting.shift()
    if (dueAt === undefined) this.#events.onAnswered(this)
    else this.#send(dueAt)
  }

  ping(): void {
    this.#wire?.ping()
  }

  close(): void {
    this.#wire?.close()
  }

  #send(dueAt: number): void {
    this.sent += 1
    this.#wire?.send(this.#partner?.id ?? '', this.sent, dueAt)
  }
}
