import type { Canaries } from '../../session/redis/canaries.ts'
import { readReplids, type RedisClient } from '../../session/redis/redis.ts'
import type { Logger } from '../logger.ts'

/** What tells that Redis may have lost something: another replication id, or a key that was there only to be missed. */
export type LossSign = 'primary' | 'canary'

/** Looks for signs of a loss. By asking, since behind a proxy no connection breaks, and FLUSHALL breaks none at all. */
export class LossSigns {
  readonly #redis: RedisClient
  readonly #canaries: Canaries
  readonly #logger: Logger
  /** Every id that was ever seen: an id never comes back, a primary that was away may. */
  #known: Set<string> | undefined

  constructor(redis: RedisClient, canaries: Canaries, logger: Logger) {
    this.#redis = redis
    this.#canaries = canaries
    this.#logger = logger
  }

  /**
   * The signs that were not there at the last look.
   *
   * @throws SessionError when no primary answers
   */
  async look(): Promise<LossSign[]> {
    const looks = await Promise.allSettled([this.#isOther(), this.#canaries.look()])
    const [primary, canary] = looks.map((look) => look.status === 'fulfilled' && look.value)
    const signs: LossSign[] = [...(primary ? ['primary' as const] : []), ...(canary ? ['canary' as const] : [])]
    // What one has told it does not tell again: the other's failure must not hide it.
    const failed = looks.find((look) => look.status === 'rejected')
    if (failed !== undefined && signs.length === 0) throw failed.reason
    return signs
  }

  async #isOther(): Promise<boolean> {
    const replids = await readReplids(this.#redis)
    const known = this.#known
    if (known === undefined && replids.includes('')) {
      this.#logger.warn('Redis names no replication id (INFO replication): a loss of its last writes may go unnoticed')
    }
    this.#known = new Set([...(known ?? []), ...replids])
    return known !== undefined && replids.some((replid) => !known.has(replid))
  }
}
