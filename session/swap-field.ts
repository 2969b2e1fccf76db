import { callFunction, type RedisClient } from './redis/redis.ts'
import { defaults } from './defaults.ts'

/**
 * Changes a field of a hash if it has the value that is expected; '' stands for absence, both ways. The hash ends
 * when nobody has asked for that long.
 *
 * @returns Redis' time in ms, the value that was found, and 1 when it was changed
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export function swapField(
  redis: RedisClient,
  key: string,
  field: string,
  expected: string,
  value: string,
): Promise<[time: number, found: string, swapped: 0 | 1]> {
  return callFunction(redis, 'swap-field', [key], [field, expected, value, defaults.directoryRetentionMs])
}
