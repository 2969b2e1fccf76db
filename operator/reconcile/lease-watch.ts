import type { Keys } from '../../session/keys.ts'
import { readLeaseLives } from '../../session/brokers/lease.ts'
import type { RedisClient } from '../../session/redis/redis.ts'
import { startTimer } from '../../controller/timing.ts'

/** Until the first look after a pass, and the least between two. */
const LEAST_MS = 2_000
/** No look is later, whatever a lease says. */
const MOST_MS = 30_000
/** A look comes that much after the end of a lease. */
const MARGIN_MS = 100

/**
 * Watches the leases of idle clusters: one that ends wakes a pass, which nothing else would before the next one is due. It asks
 * how long the leases have to live, and again when the first of them would have ended: with leases of 6 s that are renewed
 * every 2 s that is every 4 s or so, a PTTL for each gateway in one round trip. A pass would read much more.
 */
export class LeaseWatch implements Disposable {
  readonly #wake: (key: string) => void
  readonly #timers = new Map<string, NodeJS.Timeout>()

  /** @param wake is told the key of a cluster of which a lease has ended, or cannot be read */
  constructor(wake: (key: string) => void) {
    this.#wake = wake
  }

  /** Watches the leases of these gateways, instead of those named before, until one has ended. */
  watch(key: string, redis: RedisClient, keys: Keys, brokerIds: readonly string[]): void {
    this.forget(key)
    if (brokerIds.length === 0) return
    const schedule = (ms: number): void => {
      const timer = startTimer(Math.min(Math.max(ms + MARGIN_MS, LEAST_MS), MOST_MS), () => void look(timer))
      this.#timers.set(key, timer)
    }
    const look = async (timer: NodeJS.Timeout): Promise<void> => {
      const lives = await readLeaseLives(redis, keys, brokerIds).catch((): undefined[] => [undefined])
      // It was told of others, or to forget, meanwhile.
      if (this.#timers.get(key) !== timer) return
      const known = lives.flatMap((ms) => ms ?? [])
      if (known.length === lives.length) return schedule(Math.min(...known))
      this.forget(key)
      this.#wake(key)
    }
    schedule(0)
  }

  /** Watches nothing of a cluster any more. */
  forget(key: string): void {
    clearTimeout(this.#timers.get(key))
    this.#timers.delete(key)
  }

  [Symbol.dispose](): void {
    for (const key of this.#timers.keys()) this.forget(key)
  }
}
