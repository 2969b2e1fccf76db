import { onConnection, type RedisClient } from '../../session/redis/redis.ts'
import type { Logger } from '../logger.ts'
import type { LossSign, LossSigns } from './loss-signs.ts'
import type { RedisHealth } from './redis-health.ts'

export interface RedisWatchEvents {
  /** There is a new connection to Redis, or to a node of it: what it has may be older than what this gateway wrote. */
  connected(): void
  /** Something tells that Redis has lost what it had. */
  lost(sign: LossSign): void
}

/**
 * Asks Redis at each beat whether it takes writes and whether it still has what it had, as a gateway at rest would not notice. A
 * beat costs the same however many connections there are: it is what makes it needless to compare them all the time.
 */
export class RedisWatch implements AsyncDisposable {
  readonly #signs: LossSigns
  readonly #health: RedisHealth
  readonly #events: RedisWatchEvents
  readonly #logger: Logger
  readonly #timer: NodeJS.Timeout
  #looking: Promise<void> | undefined

  constructor(
    redis: RedisClient,
    everyMs: number,
    { signs, health }: { signs: LossSigns; health: RedisHealth },
    events: RedisWatchEvents,
    logger: Logger,
  ) {
    this.#signs = signs
    this.#health = health
    this.#events = events
    this.#logger = logger
    onConnection(redis, () => {
      // This may be another Redis.
      health.forget()
      this.#look()
      events.connected()
    })
    this.#timer = setInterval(() => this.#look(), everyMs)
    this.#look()
  }

  #look(): void {
    this.#looking ??= Promise.all([this.#lookForSigns(), this.#health.look()])
      .catch((err: unknown) => this.#logger.debug({ err }, 'Redis cannot be watched; trying again'))
      .then(() => (this.#looking = undefined))
  }

  async #lookForSigns(): Promise<void> {
    for (const sign of await this.#signs.look()) {
      if (sign === 'primary') this.#health.forget()
      this.#events.lost(sign)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }
}
