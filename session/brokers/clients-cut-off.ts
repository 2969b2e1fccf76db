import type { Incarnation } from './broker.ts'
import type { Keys } from '../keys.ts'
import { guard, type RedisClient } from '../redis/redis.ts'

/** How long it is kept for the operator, ms: it may be away while a gateway leaves. */
const KEPT_MS = 3_600_000

type Left = Pick<Incarnation, 'brokerId' | 'bootId'>

/**
 * A broker that leaves tells how many clients it had to cut off. Its own counters are never read again, and its lease and
 * register entry go with it. Nothing is written of a broker whose clients have all moved.
 *
 * @throws SessionError `redis_unavailable`, `redis_full` or another that keeps it from being written
 */
export async function tellDeparture(redis: RedisClient, keys: Keys, left: Left, clientsCutOff: number): Promise<void> {
  if (clientsCutOff === 0) return
  await guard(redis.set(keys.departure(left.brokerId, left.bootId), clientsCutOff, 'PX', KEPT_MS))
}

/**
 * The clients that a broker cut off when it left; 0 when it has told of none.
 *
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export async function readClientsCutOff(redis: RedisClient, keys: Keys, { brokerId, bootId }: Left): Promise<number> {
  const told = Number(await guard(redis.get(keys.departure(brokerId, bootId))))
  return Number.isSafeInteger(told) && told > 0 ? Math.min(told, MAX_CLIENTS) : 0
}

/** The CRD's bound. */
const MAX_CLIENTS = 2 ** 31 - 1
