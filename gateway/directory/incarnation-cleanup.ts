import { setTimeout as delay } from 'node:timers/promises'
import type { Incarnation } from '../../session/brokers/broker.ts'
import { cleanIncarnation, formerIncarnations } from '../../session/brokers/cleanup.ts'
import { tellDeparture } from '../../session/brokers/clients-cut-off.ts'
import type { Keys } from '../../session/keys.ts'
import type { BrokerLease } from '../../session/brokers/lease.ts'
import type { RedisClient } from '../../session/redis/redis.ts'
import type { Logger } from '../logger.ts'
import type { Metrics } from '../metrics.ts'

const RETRY_MS = 2_000

interface CleanupContext {
  readonly offlineRetentionMs: number
  readonly metrics: Metrics
  readonly logger: Logger
}

/** The cleanup of former processes of this brokerId. */
export interface FormerCleanup extends AsyncDisposable {
  /** Looks for some again: Redis may have been set back to when they were there. */
  again(): void
}

/**
 * Cleans what former processes of this brokerId left. They are gone: this one holds the lease, and one that was only
 * frozen ends itself when it sees that. Goes on in the background until nothing is left or it is disposed of.
 */
export function cleanFormerIncarnations(
  redis: RedisClient,
  keys: Keys,
  own: Incarnation,
  context: CleanupContext,
): FormerCleanup {
  const stop = new AbortController()
  let cleaning = cleanUntilDone(redis, keys, own, context, stop.signal)
  return {
    again: () => {
      cleaning = cleaning.then(() => cleanUntilDone(redis, keys, own, context, stop.signal))
    },
    [Symbol.asyncDispose]: () => {
      stop.abort()
      return cleaning
    },
  }
}

async function cleanUntilDone(
  redis: RedisClient,
  keys: Keys,
  own: Incarnation,
  { offlineRetentionMs, metrics, logger }: CleanupContext,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    let waitMs = RETRY_MS
    try {
      const former = await formerIncarnations(redis, keys, own.brokerId, own.bootId)
      if (former.length === 0) return
      for (const incarnation of former) {
        const result = await cleanIncarnation(redis, keys, incarnation, { offlineRetentionMs, signal })
        metrics.cleanedSessions.inc(result.removed)
        const { bootId } = incarnation
        if (result.removed > 0) logger.info({ bootId, removed: result.removed }, 'cleaned a former incarnation')
        waitMs = Math.max(waitMs, result.waitMs)
      }
    } catch (err) {
      if (!signal.aborted) logger.warn({ err }, 'former incarnations cannot be cleaned; trying again')
    }
    await delay(waitMs, undefined, { signal }).catch(() => undefined)
  }
}

/**
 * Takes this process out of the directory: lease, sessions, index and register. Without the grace of a cleanup, because
 * this process itself knows that it writes no more. What cannot be reached is left to a cleanup. Never rejects.
 *
 * @param clientsCutOff connections that had not moved when the drain ended; told first, as the operator takes the end of the
 *   entry for the end of the story
 */
export async function leaveDirectory(
  redis: RedisClient,
  keys: Keys,
  lease: BrokerLease,
  own: Incarnation,
  clientsCutOff: number,
  { offlineRetentionMs, logger }: Omit<CleanupContext, 'metrics'>,
): Promise<void> {
  await tellDeparture(redis, keys, own, clientsCutOff).catch((err: unknown) => {
    logger.warn({ err, clientsCutOff }, 'the operator cannot be told how many clients were cut off')
  })
  try {
    await lease.announceLeaving()
    await lease.release()
    // The first pass marks the entry, the second ends it.
    await cleanIncarnation(redis, keys, own, { offlineRetentionMs, graceMs: 0 })
    await cleanIncarnation(redis, keys, own, { offlineRetentionMs, graceMs: 0 })
  } catch (err) {
    logger.warn({ err }, 'this incarnation could not be taken out of the directory; a cleanup will')
  }
}
