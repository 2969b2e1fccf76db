import { pause } from './timing.ts'

/** Lets `perSecond` things happen on average, and `burst` at once. */
export class TokenBucket {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #at = performance.now()

  constructor(perSecond: number, burst: number) {
    this.#perMs = perSecond / 1_000
    this.#burst = burst
    this.#tokens = burst
  }

  /** Takes a token when there is one. */
  tryTake(): boolean {
    this.#refill()
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  /**
   * Takes a token, waiting for its turn: first come, first served.
   *
   * @throws the signal's reason; the token is given back then
   */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#refill()
    // A debt is the queue: each who waits has taken one more token than there was.
    this.#tokens -= 1
    if (this.#tokens >= 0) return
    if (await pause(-this.#tokens / this.#perMs, signal)) return
    this.#tokens += 1
    signal.throwIfAborted()
  }

  #refill(): void {
    const now = performance.now()
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
  }
}
