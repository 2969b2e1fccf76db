import type { Redis } from 'ioredis'
import { SessionError } from '../errors.ts'
import { describeKey, type Keys } from '../keys.ts'
import { callFunction, guard, primariesOf, type RedisClient } from '../redis/redis.ts'
import { metaTtlOf, type Retentions } from './meta-ttl.ts'

export interface StreamOptions extends Retentions {
  readonly dedupeMs: number
}

export interface TurnedLists {
  /** Inboxes that were made streams. */
  readonly turned: number
  /** Those that could not be made one: how many, and what was met first. */
  readonly left: number
  readonly problem?: { readonly key: string; readonly error: SessionError }
}

/** Entries of one inbox that a call copies, and bytes of them, one entry at least: some 300 µs of Redis. */
const ENTRIES = 64
const BYTES = 1 << 18
/** Keys that Redis looks at in one step of the walk. */
const KEYS_A_STEP = 500

/**
 * Makes every inbox that is a list a stream of 0.2.0 again, in small steps, while clients are connected. No gateway may write lists. One
 * that cannot be made a stream does not stop the others. Safe to repeat and to break off.
 *
 * @throws SessionError when Redis takes no writes, or is away; the signal's reason
 */
export async function turnListsToStreams(
  redis: RedisClient,
  keys: Keys,
  options: StreamOptions,
  signal: AbortSignal,
): Promise<TurnedLists> {
  const args = [options.retentionMs, metaTtlOf(options), options.dedupeMs, ENTRIES, BYTES]
  let turned = 0
  let left = 0
  let problem: TurnedLists['problem']
  for (const node of primariesOf(redis)) {
    for await (const meta of findLists(node, keys, signal)) {
      const inbox = keys.inboxOfMeta(meta)
      try {
        do signal.throwIfAborted()
        while ((await callFunction(redis, 'list-to-stream', [meta, inbox.list, inbox.stream], args)) === 0)
        turned++
      } catch (error) {
        if (!(error instanceof SessionError) || !isOfInbox(error)) throw error
        left++
        problem ??= { key: describeKey(meta), error }
      }
    }
  }
  return { turned, left, ...(problem && { problem }) }
}

/** Whether an error is of what one inbox holds; else it would be met at each. */
function isOfInbox({ code }: SessionError): boolean {
  return code === 'redis_foreign_key' || code === 'redis_failed'
}

/** The keys of meta data that are those of lists. */
async function* findLists(node: Redis, keys: Keys, signal: AbortSignal): AsyncGenerator<string> {
  let cursor = '0'
  do {
    signal.throwIfAborted()
    const [next, found] = await guard(
      node.scan(cursor, 'MATCH', keys.everyInboxMeta(), 'COUNT', KEYS_A_STEP, 'TYPE', 'string'),
    )
    cursor = next
    yield* found
  } while (cursor !== '0')
}
