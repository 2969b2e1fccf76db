import type { Incarnation } from '../../session/brokers/broker.ts'
import { ListSwitch } from '../../session/inbox/list-switch.ts'
import type { Keys } from '../../session/keys.ts'
import type { RedisClient } from '../../session/redis/redis.ts'
import type { Logger } from '../logger.ts'
import type { GatewaySettings } from '../settings.ts'
import type { Troubles } from '../troubles.ts'

/**
 * Finds out whether this gateway writes inboxes as lists, and tells what holds it up, or who came late.
 *
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export async function openListSwitch(
  redis: RedisClient,
  keys: Keys,
  incarnation: Incarnation,
  settings: GatewaySettings,
  troubles: Troubles,
  logger: Logger,
): Promise<ListSwitch> {
  const { leaseMs, cursorRetentionMs, dedupeMs, inboxRetentionMs: retentionMs } = settings
  const options = { leaseMs, cursorRetentionMs, dedupeMs, retentionMs }
  return ListSwitch.open(redis, keys, incarnation, options, {
    switched() {
      logger.info('inboxes are written as lists')
    },
    held(by, late) {
      const who = by.map(({ brokerId }) => brokerId).join(', ')
      if (by.length > 0) logger.info({ formerGateways: who }, 'gateways of 0.2.0 are registered, which read no lists')
      const message = `gateways of 0.2.0 cannot serve users whose inbox is a list: update or stop them (${who})`
      troubles.report('FormerGateway', late && by.length > 0 ? message : undefined)
    },
    turnedBack({ turned, left, problem }) {
      if (left === 0) return logger.info({ turned }, 'every inbox is a stream: gateways of 0.2.0 may come')
      const { key, error: err } = problem ?? {}
      logger.error({ turned, left, key, err }, 'inboxes stay lists, as they cannot be made streams; trying again')
    },
    failed(err) {
      logger.warn({ err }, 'the format of inboxes cannot be looked after; trying again')
    },
  })
}
