/** A token bucket: `perSecond` on average, twice that at once. */
export class RateLimit {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #at = performance.now()

  constructor(perSecond: number) {
    this.#perMs = perSecond / 1000
    this.#burst = perSecond * 2
    this.#tokens = this.#burst
  }

  /** Takes a token. Returns 0, or when there is none the milliseconds until there will be one. */
  take(): number {
    if (this.#tokens < 1) {
      const now = performance.now()
      this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs)
      this.#at = now
      if (this.#tokens < 1) return Math.ceil((1 - this.#tokens) / this.#perMs)
    }
    this.#tokens -= 1
    return 0
  }
}
