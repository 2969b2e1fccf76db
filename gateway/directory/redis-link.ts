import { setTimeout as delay } from 'node:timers/promises'
import { SessionError } from '../../session/errors.ts'
import { translateError } from '../../session/redis/redis-errors.ts'
import { awaitReady, connectRedis, type RedisClient } from '../../session/redis/redis.ts'
import { GatewayError } from '../errors.ts'
import type { Logger } from '../logger.ts'
import type { Metrics } from '../metrics.ts'
import type { GatewaySettings } from '../settings.ts'
import type { Troubles } from '../troubles.ts'

/** A foreign key that nobody has met for so long counts as gone. */
const FOREIGN_KEY_MS = 60_000

/** Opens the connection to Redis and watches over it: an outage is logged once, not once for every attempt. */
export function openRedis(
  settings: GatewaySettings,
  logger: Logger,
  metrics: Metrics,
  troubles: Troubles,
): RedisClient {
  let away = false
  const redis = connectRedis(settings.redisUrl, {
    connectionName: `im-gateway ${settings.brokerId}`,
    commandTimeoutMs: settings.redisTimeoutMs,
    onError: (err) => {
      // Reachable again, and of no use yet: that has words of its own.
      troubles.report('RedisLoading', err.code === 'redis_loading' ? err.message : undefined)
      if (away) return
      away = true
      metrics.redisUp.set(0)
      logger.warn({ err }, 'Redis is away')
    },
    onForeignKey: ({ message }) => troubles.report('RedisForeignKey', message, FOREIGN_KEY_MS),
  })
  redis.on('ready', () => {
    troubles.report('RedisLoading', undefined)
    if (away) logger.info('Redis is back')
    away = false
    metrics.redisUp.set(1)
  })
  return redis
}

/**
 * Waits for Redis at the start.
 *
 * @throws GatewayError REDIS_REFUSED at once when what answers is no Redis, or refuses the credentials; REDIS_UNREACHABLE
 *   when it does not answer in time; the reason of `stop`
 */
export async function startRedis(redis: RedisClient, timeoutMs: number, stop: AbortSignal): Promise<void> {
  const stopped = new AbortController()
  const signal = AbortSignal.any([stop, stopped.signal])
  const refused = Promise.withResolvers<never>()
  const look = (error: Error) => {
    const translated = translateError(error)
    if (translated.code === 'redis_refused') refused.reject(translated)
  }
  redis.on('error', look).on('node error', look)
  try {
    await Promise.race([awaitReady(redis, timeoutMs), refused.promise, delay(2 * timeoutMs, undefined, { signal })])
  } catch (cause) {
    stop.throwIfAborted()
    if (cause instanceof SessionError && cause.code === 'redis_refused') {
      throw new GatewayError('REDIS_REFUSED', `${cause.message}; check IM_REDIS_URL`, { cause, retryable: false })
    }
    const loading = cause instanceof SessionError && cause.code === 'redis_loading'
    const message = loading
      ? `${cause.message}: not within ${timeoutMs} ms; trying again after a restart`
      : `Redis does not answer within ${timeoutMs} ms; check IM_REDIS_URL and that Redis runs`
    throw new GatewayError('REDIS_UNREACHABLE', message, { cause, retryable: true })
  } finally {
    stopped.abort()
    redis.off('error', look).off('node error', look)
  }
}
