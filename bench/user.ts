import { randomUUID } from 'node:crypto'
import type { FrameOf } from '../protocol/frames.ts'
import { codeName } from '../protocol/codes.ts'
import { openConnection, type LoadConnection } from './connection.ts'
import { Ledger } from './ledger.ts'

export interface MessageKind {
  /** Unanswered sends of a user. */
  readonly inFlight: number
  /** At least `MIN_PAYLOAD_BYTES`. */
  readonly payloadBytes: number
  readonly durable: boolean
}

export interface UserEvents {
  /** A message has come; `dueAt` is when it was due to be sent, on the clock of `performance.now()`. */
  onDelivered(dueAt: number): void
  /** Room for another send. */
  onAccepted(user: LoadUser): void
  onFailed(error: Error): void
}

/** The payload begins with the message's number and the time at which it was due: two float64. */
export const MIN_PAYLOAD_BYTES = 16
/** As the SDK acknowledges by default. */
const ACK_EVERY = 64
const ACK_DELAY_MS = 50

/** One user of the load, with one device, who sends to a partner and checks what comes from there. */
export class LoadUser {
  readonly id: string
  readonly ledger = new Ledger()
  sent = 0
  accepted = 0
  readonly #partner: string
  readonly #kind: MessageKind
  readonly #events: UserEvents
  /** Due times of messages for which there was no room, oldest first. */
  readonly #waiting: number[] = []
  readonly #idPrefix = randomUUID().slice(0, 24)
  readonly #loggedIn = Promise.withResolvers<void>()
  #connection: LoadConnection | undefined
  #epoch = ''
  #received = 0
  #acked = 0
  #ackTimer: NodeJS.Timeout | undefined

  constructor(id: string, partner: string, kind: MessageKind, events: UserEvents) {
    this.id = id
    this.#partner = partner
    this.#kind = kind
    this.#events = events
    // It may fail before anybody waits for it.
    this.#loggedIn.promise.catch(() => undefined)
  }

  /** Messages that wait for room. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Connects and logs in; rejects when the gateway refuses. The time limit of a login is the gateway's. */
  async login(url: string): Promise<void> {
    const fail = (error: Error) => {
      this.#loggedIn.reject(error)
      this.#events.onFailed(error)
    }
    this.#connection = await openConnection(url, {
      onFrame: (frame) => {
        if (frame.type === 'message') this.#receive(frame)
        else if (frame.type === 'accepted') this.#takeAnswer()
        else if (frame.type === 'ping') this.#connection?.send({ type: 'pong' })
        else if (frame.type === 'error' || frame.type === 'close') {
          fail(new Error(`${this.id} got ${frame.type} ${codeName(frame.code) ?? frame.code}: ${frame.message}`))
        } else if (frame.type === 'loggedIn' || frame.type === 'gap') {
          this.#epoch = frame.epoch
          this.#loggedIn.resolve()
        }
      },
      onLost: () => fail(new Error(`${this.id} lost its connection`)),
    })
    const device = { clientType: 1, imei: 'bench', version: '' } as const
    const token = `1:${this.id}`
    this.#connection.send({ type: 'login', requestId: 0, token, ...device, epoch: '', seq: 0, start: 'earliest' })
    await this.#loggedIn.promise
  }

  /** Sends a message now, or as soon as enough of those before it are answered. */
  send(dueAt: number): void {
    if (this.sent - this.accepted < this.#kind.inFlight) this.#send(dueAt)
    else this.#waiting.push(dueAt)
  }

  ping(): void {
    this.#connection?.send({ type: 'ping' })
  }

  close(): void {
    clearTimeout(this.#ackTimer)
    this.#connection?.close()
  }

  #send(dueAt: number): void {
    this.sent += 1
    const payload = new Uint8Array(this.#kind.payloadBytes)
    const view = new DataView(payload.buffer)
    view.setFloat64(0, this.sent)
    view.setFloat64(8, dueAt)
    // As long as a UUID, as that of the SDK is.
    const messageId = this.#idPrefix + this.sent.toString(16).padStart(12, '0')
    const { durable } = this.#kind
    this.#connection?.send({ type: 'send', requestId: this.sent, messageId, to: this.#partner, durable, payload })
  }

  #takeAnswer(): void {
    this.accepted += 1
    const dueAt = this.#waiting.shift()
    if (dueAt === undefined) this.#events.onAccepted(this)
    else this.#send(dueAt)
  }

  #receive({ seq, from, payload }: FrameOf<'message'>): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
    if (from !== this.#partner) return this.#events.onFailed(new Error(`${this.id} got a message of ${from}`))
    this.ledger.receive(view.getFloat64(0))
    this.#events.onDelivered(view.getFloat64(8))
    // A transient message has no seq.
    if (seq === 0) return
    this.#received = seq
    if (seq - this.#acked >= ACK_EVERY) this.#ack()
    else this.#ackTimer ??= setTimeout(() => this.#ack(), ACK_DELAY_MS)
  }

  #ack(): void {
    clearTimeout(this.#ackTimer)
    this.#ackTimer = undefined
    this.#acked = this.#received
    this.#connection?.send({ type: 'ack', stream: 'inbox', epoch: this.#epoch, seq: this.#received })
  }
}
