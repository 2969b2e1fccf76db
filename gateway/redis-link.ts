import { setTimeout as delay } from 'node:timers/promises'
import { awaitReady, connectRedis, type RedisClient } from '../session/redis.ts'
import { GatewayError } from './errors.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import type { GatewaySettings } from './settings.ts'

/** Opens the connection to Redis and watches over it: an outage is logged once, not once for every attempt. */
export function openRedis(settings: GatewaySettings, logger: Logger, metrics: Metrics): RedisClient {
  let away = false
  const redis = connectRedis(settings.redisUrl, {
    connectionName: `im-gateway ${settings.brokerId}`,
    commandTimeoutMs: settings.redisTimeoutMs,
    onError: (err) => {
      if (away) return
      away = true
      metrics.redisUp.set(0)
      logger.warn({ err }, 'Redis is away')
    },
  })
  redis.on('ready', () => {
    if (away) logger.info('Redis is back')
    away = false
    metrics.redisUp.set(1)
  })
  return redis
}

/**
 * Waits for Redis at the start.
 *
 * @throws GatewayError REDIS_UNREACHABLE when it does not answer in time; the reason of `stop`
 */
export async function startRedis(redis: RedisClient, timeoutMs: number, stop: AbortSignal): Promise<void> {
  const stopped = new AbortController()
  const signal = AbortSignal.any([stop, stopped.signal])
  try {
    await Promise.race([awaitReady(redis, timeoutMs), delay(2 * timeoutMs, undefined, { signal })])
  } catch (cause) {
    stop.throwIfAborted()
    const message = `Redis does not answer within ${timeoutMs} ms; check IM_REDIS_URL and that Redis runs`
    throw new GatewayError('REDIS_UNREACHABLE', message, { cause, retryable: true })
  } finally {
    stopped.abort()
  }
}
