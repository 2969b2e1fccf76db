import type { Metrics } from '../metrics.ts'

/**
 * Logins that are worked on at once. So many answers of Redis are handled in one turn of the event loop at the most, which is a few
 * milliseconds. Each takes two answers: a Redis that needs 3 ms for one lets 2,600 a second through, about what a core can do.
 */
const AT_ONCE = 16
/** How long a login may keep others waiting, in milliseconds: far longer than Redis takes for both answers. */
const TURN_MS = 200

/**
 * Lets logins through a few at a time, in the order in which they came: when thousands come at once, what is live already goes on
 * between them. A login that takes long, because a part of Redis stands still or others of its user come first, gives its turn on
 * before it ends. So at most 80 a second are begun besides those that get their answers. Each ends by the deadlines of Redis, and is
 * charged to the gateway's memory until then, which bounds their number.
 */
export class LoginTurns {
  readonly #waiting = new Set<() => void>()
  readonly #metrics: Metrics
  #taken = 0

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  /** Runs `work` when it is its turn. Resolves or rejects as it does. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#taken < AT_ONCE) this.#taken += 1
    else await this.#wait()
    let isMine = true
    const pass = (): void => {
      if (isMine) this.#pass()
      isMine = false
    }
    const timer = setTimeout(pass, TURN_MS)
    try {
      return await work()
    } finally {
      clearTimeout(timer)
      pass()
    }
  }

  #wait(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(resolve)
    this.#metrics.waitingLogins.set(this.#waiting.size)
    return promise
  }

  /** Gives the turn to who has waited longest. */
  #pass(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      this.#metrics.waitingLogins.set(this.#waiting.size)
      return next()
    }
    this.#taken -= 1
  }
}
