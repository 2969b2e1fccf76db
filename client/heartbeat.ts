import { startDeadline } from './timing.ts'

/** Pings in time, and notices when nothing comes any more. */
export class Heartbeat {
  readonly #intervalMs: number
  readonly #timeoutMs: number
  readonly #ping: () => void
  readonly #died: () => void
  #pingTimer: ReturnType<typeof setTimeout> | undefined
  #cancelDeath: (() => void) | undefined

  /**
   * @param intervalMs a ping goes out at least this often
   * @param timeoutMs `died` is called when nothing at all was heard for this long after a ping
   */
  constructor(intervalMs: number, timeoutMs: number, ping: () => void, died: () => void) {
    this.#intervalMs = intervalMs
    this.#timeoutMs = timeoutMs
    this.#ping = ping
    this.#died = died
    this.#schedule()
  }

  /** Something came. */
  heard(): void {
    this.#cancelDeath?.()
    this.#cancelDeath = undefined
  }

  stop(): void {
    clearTimeout(this.#pingTimer)
    this.heard()
  }

  #schedule(): void {
    // Jitter keeps clients that logged in together from pinging together; it only ever shortens the interval.
    this.#pingTimer = setTimeout(() => this.#beat(), this.#intervalMs * (0.8 + 0.2 * Math.random()))
  }

  #beat(): void {
    this.#schedule()
    // The time-out begins with a ping, never at the last thing heard: a machine that slept gets a chance to be answered.
    this.#cancelDeath ??= startDeadline(this.#timeoutMs, this.#died)
    this.#ping()
  }
}
