import { readReplids, type RedisClient } from '../../session/redis/redis.ts'
import type { Logger } from '../logger.ts'

/**
 * Notices that Redis has another primary, or that one was restarted: it may have lost what it had taken last. By asking, since
 * behind a proxy no connection breaks.
 */
export class PrimaryWatch implements AsyncDisposable {
  readonly #redis: RedisClient
  readonly #changed: () => void
  readonly #logger: Logger
  readonly #timer: NodeJS.Timeout
  /** Every id that was ever seen: an id never comes back, a primary that was away may. */
  #known: Set<string> | undefined
  #looking: Promise<void> | undefined

  /** @param changed called for each change */
  constructor(redis: RedisClient, everyMs: number, changed: () => void, logger: Logger) {
    this.#redis = redis
    this.#changed = changed
    this.#logger = logger
    this.#timer = setInterval(() => this.look(), everyMs)
    this.look()
  }

  /** Looks now, unless that is under way. */
  look(): void {
    this.#looking ??= this.#look()
      .catch((err: unknown) => this.#logger.debug({ err }, 'Redis cannot be asked for its primaries; trying again'))
      .finally(() => (this.#looking = undefined))
  }

  async #look(): Promise<void> {
    const replids = await readReplids(this.#redis)
    const known = this.#known
    if (known === undefined && replids.includes('')) {
      this.#logger.warn('Redis names no replication id (INFO replication): a loss of its last writes goes unnoticed')
    }
    this.#known = new Set([...(known ?? []), ...replids])
    if (known !== undefined && replids.some((replid) => !known.has(replid))) this.#changed()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }
}
