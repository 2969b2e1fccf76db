import type { Cursor } from './message.ts'

/** Acknowledges cumulatively: one frame for many messages. */
export class Acks {
  readonly #delayMs: number
  readonly #every: number
  readonly #send: (position: Cursor) => void
  readonly #position: () => Cursor | undefined
  #sent: Cursor | undefined
  #moves = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  /**
   * @param delayMs the longest wait before what was handled is acknowledged
   * @param every as many messages handled are acknowledged at once
   * @param position what can be acknowledged now; undefined when there is no connection that it would be right on
   * @param send sends an acknowledgement
   */
  constructor(delayMs: number, every: number, position: () => Cursor | undefined, send: (position: Cursor) => void) {
    this.#delayMs = delayMs
    this.#every = every
    this.#position = position
    this.#send = send
  }

  /** A new connection; `known` is what its gateway takes to be handled, if that is certain. */
  attach(known: Cursor | undefined): void {
    this.#sent = known
    this.flush()
  }

  /** The position moved on. */
  moved(): void {
    this.#moves += 1
    if (this.#moves >= this.#every) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), this.#delayMs)
  }

  /** Acknowledges now what was handled. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#moves = 0
    const position = this.#position()
    if (position === undefined || position.seq === 0) return
    if (position.epoch === this.#sent?.epoch && position.seq <= this.#sent.seq) return
    this.#sent = position
    this.#send(position)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
