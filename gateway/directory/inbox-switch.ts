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
  let switched = false
  return ListSwitch.open(redis, keys, incarnation, options, {
    switched() {
      switched = true
      logger.info('inboxes are written as lists')
    },
    held(by) {
      const who = by.map(({ brokerId }) => brokerId).join(', ')
      if (by.length > 0) logger.info({ formerGateways: who }, 'gateways of 0.2.0 are registered, which read no lists')
      const late = switched && incarnation.lists === 'write' && by.length > 0
      const message = `gateways of 0.2.0 cannot serve users whose inbox is a list: update or stop them (${who})`
      troubles.report('FormerGateway', late ? message : undefined)
    },
    turnedBack(turned) {
      logger.info({ turned }, 'every inbox is a stream: gateways of 0.2.0 may come')
    },
    failed(err) {
      logger.warn({ err }, 'the register of gateways cannot be read; trying again')
    },
  })
}
