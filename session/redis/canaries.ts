import type { Redis } from 'ioredis'
import { primariesOf, type RedisClient } from './redis.ts'

/** Canaries of a gateway that is gone run out. One that did not look for so long may take them for lost, which does no harm. */
const LIFE_MS = 600_000
/** Numbers tried at one look, to find a key in the slots of a primary. */
const TRIES = 64

/**
 * One key at each primary, that is there only to be missed: where it is gone all may be, by FLUSHALL, or a state set back behind
 * the same id. A lease tells that of one shard of a Redis Cluster alone.
 */
export class Canaries {
  readonly #redis: RedisClient
  readonly #nameOf: (number: number) => string
  /** By connection: that of a cluster's node, which a resharding leaves with other slots. */
  readonly #placed = new Map<Redis, string>()
  #number = 0

  /** @param nameOf names the key of a number, which is its hash tag */
  constructor(redis: RedisClient, nameOf: (number: number) => string) {
    this.#redis = redis
    this.#nameOf = nameOf
  }

  /** Whether one is gone that was there before; places those that are missing. A primary that does not answer says nothing. */
  async look(): Promise<boolean> {
    const primaries = primariesOf(this.#redis)
    for (const node of this.#placed.keys()) if (!primaries.includes(node)) this.#placed.delete(node)
    const results = await Promise.allSettled(primaries.map((node) => this.#isGone(node)))
    return results.some((result) => result.status === 'fulfilled' && result.value)
  }

  async #isGone(node: Redis): Promise<boolean> {
    const key = this.#placed.get(node)
    const found = key === undefined ? undefined : await orMoved(node.pexpire(key, LIFE_MS))
    if (found === 1) return false
    // Before the next look, so that each loss is told once.
    this.#placed.delete(node)
    // One that is full takes none now, and is asked again at the next look.
    await this.#place(node).catch(() => undefined)
    return found === 0
  }

  async #place(node: Redis): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const key = this.#nameOf(this.#number)
      if ((await orMoved(node.set(key, '1', 'PX', LIFE_MS))) === 'OK') {
        this.#placed.set(node, key)
        return
      }
      this.#number += 1
    }
  }

  /** Takes the canaries away. Never rejects. */
  async remove(): Promise<void> {
    await Promise.allSettled([...this.#placed].map(([node, key]) => node.del(key)))
    this.#placed.clear()
  }
}

/** The reply, or undefined when the key's slot is another node's. */
async function orMoved<Reply>(call: Promise<Reply>): Promise<Reply | undefined> {
  try {
    return await call
  } catch (error) {
    if (error instanceof Error && /^(MOVED|ASK) /.test(error.message)) return undefined
    throw error
  }
}
