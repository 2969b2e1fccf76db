/** A token bucket: `perSecond` on average, twice that at once. */
export class RateLimit {
  readonly #perMs: number
  readonly #burst: number
  /** Less than 0 while too much has been taken. */
  #tokens: number
  #at = performance.now()

  constructor(perSecond: number) {
    this.#perMs = perSecond / 1000
    this.#burst = perSecond * 2
    this.#tokens = this.#burst
  }

  /** Takes a token, in advance if there is none. Returns the milliseconds to wait before the next; 0 when there is no need. */
  take(): number {
    const now = performance.now()
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs) - 1
    this.#at = now
    return this.#tokens >= 0 ? 0 : Math.ceil(-this.#tokens / this.#perMs)
  }
}
