import { SessionError, type SessionErrorCode } from '../session/errors.ts'
import { checkWritable, type RedisClient } from '../session/redis.ts'
import type { TroubleReason, Troubles } from './troubles.ts'

const reasons: Partial<Record<SessionErrorCode, TroubleReason>> = {
  redis_full: 'RedisFull',
  redis_refuses_writes: 'RedisRefusesWrites',
}

/** Asks Redis all the time whether it takes writes: a gateway without a sender would not notice. */
export class RedisWatch implements AsyncDisposable {
  readonly #redis: RedisClient
  readonly #troubles: Troubles
  readonly #timer: NodeJS.Timeout
  #looking: Promise<void> | undefined

  constructor(redis: RedisClient, everyMs: number, troubles: Troubles) {
    this.#redis = redis
    this.#troubles = troubles
    this.#timer = setInterval(() => this.look(), everyMs)
    this.look()
  }

  /** Looks now, unless that is under way. */
  look(): void {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
  }

  async #look(): Promise<void> {
    const error: unknown = await checkWritable(this.#redis).catch((reason: unknown) => reason)
    const code = error instanceof SessionError ? error.code : undefined
    // While Redis is away what was known last still stands.
    if (code === 'redis_unavailable') return
    for (const [of, reason] of Object.entries(reasons)) {
      this.#troubles.report(reason, of === code ? (error as SessionError).message : undefined)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }
}
