import { SessionError, type SessionErrorCode } from '../../session/errors.ts'
import { checkWritable, type RedisClient } from '../../session/redis/redis.ts'
import { readRisks } from '../../session/redis/redis-risks.ts'
import type { Logger } from '../logger.ts'
import type { Metrics } from '../metrics.ts'
import type { TroubleReason, Troubles } from '../troubles.ts'

const reasons: Partial<Record<SessionErrorCode, TroubleReason>> = {
  redis_full: 'RedisFull',
  redis_loading: 'RedisLoading',
  redis_refuses_writes: 'RedisRefusesWrites',
}

/** How often settings of Redis are read that somebody may change while it runs. */
const SETTINGS_MS = 60_000

/**
 * Whether Redis takes writes, as a gateway without a sender would not notice, and now and then how it is set up: an inbox that
 * was evicted is lost without a word.
 */
export class RedisHealth {
  readonly #redis: RedisClient
  readonly #troubles: Troubles
  readonly #metrics: Metrics
  readonly #logger: Logger
  #readAt = -Infinity
  #persistent: boolean | undefined

  constructor(redis: RedisClient, troubles: Troubles, metrics: Metrics, logger: Logger) {
    this.#redis = redis
    this.#troubles = troubles
    this.#metrics = metrics
    this.#logger = logger
  }

  /** Whether a restart of Redis keeps what it has taken; undefined as long as that is not known. */
  get persistent(): boolean | undefined {
    return this.#persistent
  }

  /** At the next look asks also for what is asked seldom. */
  forget(): void {
    this.#readAt = -Infinity
  }

  /** Looks now, and tells what is wrong as a trouble. Never rejects. */
  async look(): Promise<void> {
    if (performance.now() - this.#readAt >= SETTINGS_MS) {
      this.#readAt = performance.now()
      await this.#readSettings().catch((err: unknown) => {
        this.forget()
        this.#logger.debug({ err }, 'the settings of Redis cannot be read; trying again')
      })
    }
    await this.#checkWritable()
  }

  async #readSettings(): Promise<void> {
    const { evictionPolicy, persistent } = await readRisks(this.#redis)
    const message = `Redis evicts keys when its memory is full (maxmemory-policy ${evictionPolicy}): inboxes are lost; set noeviction`
    this.#troubles.report('RedisEvicts', evictionPolicy === undefined ? undefined : message)
    this.#metrics.redisPersistent.set(persistent === false ? 0 : 1)
    if (persistent === false && this.#persistent !== false) {
      this.#logger.warn('Redis has neither an append-only file nor a replica: a restart loses accepted messages')
    }
    this.#persistent = persistent
  }

  async #checkWritable(): Promise<void> {
    const error: unknown = await checkWritable(this.#redis).catch((reason: unknown) => reason)
    const code = error instanceof SessionError ? error.code : undefined
    // While Redis is away what was known last still stands.
    if (code === 'redis_unavailable') return
    for (const [of, reason] of Object.entries(reasons)) {
      this.#troubles.report(reason, of === code ? (error as SessionError).message : undefined)
    }
  }
}
