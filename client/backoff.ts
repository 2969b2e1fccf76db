/** Exponential back-off with full jitter, so that clients which failed together do not come back together. */
export class Backoff {
  readonly #baseMs: number
  readonly #capMs: number
  readonly #random: () => number
  #attempts = 0

  /** `random` gives numbers in [0, 1). */
  constructor(baseMs: number, capMs: number, random: () => number = Math.random) {
    this.#baseMs = baseMs
    this.#capMs = capMs
    this.#random = random
  }

  /** The next wait in milliseconds: anything up to base · 2^n, and up to the cap. */
  next(): number {
    const ceiling = Math.min(this.#capMs, this.#baseMs * 2 ** this.#attempts)
    // Beyond the cap the exponent has no effect; without a limit it would overflow some day.
    this.#attempts = Math.min(this.#attempts + 1, 31)
    return Math.round(this.#random() * ceiling)
  }

  reset(): void {
    this.#attempts = 0
  }
}
