import type { Redis } from 'ioredis'
import { callFunction, guard, primariesOf, type RedisClient } from '../redis/redis.ts'
import type { Keys } from '../keys.ts'

export interface StreamOptions {
  readonly retentionMs: number
  readonly cursorRetentionMs: number
  readonly dedupeMs: number
}

/** Entries of one inbox that a call copies: some 300 µs of Redis. */
const ENTRIES = 64
/** Keys that Redis looks at in one step of the walk. */
const KEYS_A_STEP = 500

/**
 * Makes every inbox that is a list a stream of 0.2.0 again, in small steps, while clients are connected. No gateway may write lists. Safe to
 * repeat and to break off.
 *
 * @returns how many it made
 * @throws SessionError `redis_unavailable` or `redis_failed`; the signal's reason
 */
export async function turnListsToStreams(
  redis: RedisClient,
  keys: Keys,
  options: StreamOptions,
  signal: AbortSignal,
): Promise<number> {
  let turned = 0
  for (const node of primariesOf(redis)) {
    for await (const meta of findLists(node, keys)) {
      const inbox = keys.inboxOfMeta(meta)
      const args = [
        options.retentionMs,
        Math.max(options.cursorRetentionMs, options.retentionMs),
        options.dedupeMs,
        ENTRIES,
      ]
      do signal.throwIfAborted()
      while ((await callFunction(redis, 'list-to-stream', [meta, inbox.list, inbox.stream], args)) === 0)
      turned++
    }
  }
  return turned
}

/** The keys of meta data that are those of lists. */
async function* findLists(node: Redis, keys: Keys): AsyncGenerator<string> {
  let cursor = '0'
  do {
    const [next, found] = await guard(
      node.scan(cursor, 'MATCH', keys.everyInboxMeta(), 'COUNT', KEYS_A_STEP, 'TYPE', 'string'),
    )
    cursor = next
    yield* found
  } while (cursor !== '0')
}
