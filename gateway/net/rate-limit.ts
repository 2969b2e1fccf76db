/** A token bucket: `perSecond` on average, twice that at once. */
export class RateLimit {
  readonly #perSecond: number
  /** Less than 0 while too much has been taken. */
  #tokens: number
  #at = performance.now()

  constructor(perSecond: number) {
    this.#perSecond = perSecond
    this.#tokens = perSecond * 2
  }

  /** When a token was taken last, or this was made; by performance.now(). */
  get takenAt(): number {
    return this.#at
  }

  /** Takes a token, in advance if there is none. Returns the milliseconds to wait before the next; 0 when there is no need. */
  take(): number {
    const now = performance.now()
    const perMs = this.#perSecond / 1000
    this.#tokens = Math.min(this.#perSecond * 2, this.#tokens + (now - this.#at) * perMs) - 1
    this.#at = now
    return this.#tokens >= 0 ? 0 : Math.ceil(-this.#tokens / perMs)
  }
}
