/** What a load sends, and how much of it at once. */
export interface MessageKind {
  /** Unanswered sends of a user. */
  readonly inFlight: number
  /** At least `MIN_PAYLOAD_BYTES`. */
  readonly payloadBytes: number
  /** Stored before it is answered; of the product alone. */
  readonly durable: boolean
}

/** The payload begins with the message's number and the time at which it was due: two float64. */
export const MIN_PAYLOAD_BYTES = 16

export interface WireHandlers {
  /** A message has come; `dueAt` is when it was due to be sent, on the clock of the load's process. */
  onMessage(from: string, number: number, dueAt: number): void
  /** The oldest unanswered send is answered. Never where the wire has no answers. */
  onAnswer(): void
  /** The connection is gone or refused, and `close` was not called. */
  onFailed(error: Error): void
}

/** One logged-in user of a peer: as little work as can be, since the load shares the machine with what is measured. */
export interface Wire {
  send(to: string, number: number, dueAt: number): void
  /** What a client at rest sends from time to time. */
  ping(): void
  close(): void
}

/** Who logs in. `token` stands for the user id where the peer checks one. */
export interface WireUser {
  readonly userId: string
  readonly token?: string | undefined
  /** The device; by default the same for all. */
  readonly imei?: string
}

/** Connects to a URL and logs in; rejects when that fails or takes over 20 s. */
export type OpenWire = (url: string, user: WireUser, kind: MessageKind, handlers: WireHandlers) => Promise<Wire>

export const CONNECT_DEADLINE_MS = 20_000

/** A payload as bytes. */
export function packPayload(bytes: number, number: number, dueAt: number): Uint8Array {
  const payload = new Uint8Array(bytes)
  const view = new DataView(payload.buffer)
  view.setFloat64(0, number)
  view.setFloat64(8, dueAt)
  return payload
}

export function unpackPayload(payload: Uint8Array): readonly [number: number, dueAt: number] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  return [view.getFloat64(0), view.getFloat64(8)]
}
