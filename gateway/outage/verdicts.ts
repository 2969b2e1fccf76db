import type { Verdict } from './cut-off.ts'

/**
 * So many in a row decide. Longer than a client of Redis or NATS waits between two attempts: at the end of an outage one gateway
 * is back before another.
 */
const DECIDING = 5
/** The last `alone` is forgotten after so long: what is unknown in between says nothing, and what was known may be over. */
const FORGOTTEN_MS = 15_000

/** What several looks say together, one a second: who can ask nobody for a moment knows nothing new. */
export class Verdicts {
  #alone = 0
  #aloneAt = -Infinity
  #together = 0

  /**
   * @param verdict undefined when nothing lacks
   * @param now in milliseconds of `performance.now`
   */
  add(verdict: Verdict | undefined, now: number): void {
    if (now - this.#aloneAt > FORGOTTEN_MS) this.#alone = 0
    if (verdict === 'alone') {
      this.#alone += 1
      this.#aloneAt = now
      this.#together = 0
    } else if (verdict !== 'unknown') {
      this.#alone = 0
      this.#together += 1
    }
  }

  /** This gateway lacks something alone. */
  get alone(): boolean {
    return this.#alone >= DECIDING
  }

  /** It lacks nothing, or nothing that others have. */
  get together(): boolean {
    return this.#together >= DECIDING
  }
}
