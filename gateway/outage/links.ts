import type { RedisClient } from '../../session/redis/redis.ts'
import type { Bus } from '../bus/bus.ts'
import type { LeaseKeeper } from '../directory/lease-keeper.ts'
import type { LinkName } from './link-report.ts'
import type { Link } from './link-watch.ts'
import type { TroubleReason, Troubles } from '../troubles.ts'

/** The links that a gateway needs, and how they are. */
export function createLinks(
  redis: RedisClient,
  keeper: LeaseKeeper,
  bus: Bus,
  troubles: Troubles,
): Record<LinkName, Link> {
  /** What is known to be wrong, or else that nothing answers. */
  const tell = (known: readonly TroubleReason[], silent: TroubleReason, message: string): Link['fault'] => {
    const reason = known.find((it) => troubles.get(it) !== undefined)
    return reason === undefined ? { reason: silent, message } : { reason, message: troubles.get(reason) ?? message }
  }
  return {
    redis: {
      get works() {
        return redis.status === 'ready' && keeper.holds
      },
      get ageMs() {
        return keeper.ageMs
      },
      get fault() {
        return tell(['RedisLoading', 'RedisRefusesWrites'], 'RedisUnavailable', 'Redis does not answer')
      },
    },
    nats: {
      get works() {
        return bus.working
      },
      get ageMs() {
        return bus.ageMs
      },
      get fault() {
        return tell(['NatsForbidden', 'NatsRefused'], 'NatsUnavailable', 'NATS does not answer')
      },
    },
  }
}
