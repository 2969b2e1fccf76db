import type { Verdict } from '../api/conditions.ts'
import type { Observation } from './observation.ts'

/**
 * Whether a restart of Redis keeps what was accepted, as the gateways read it. A condition of its own: a try-out is not
 * degraded for that.
 *
 * @param former what was last known, which stands while no gateway tells
 */
export function judgeDurable({ pods, directory }: Observation, former: Verdict | undefined): Verdict {
  const told = pods.flatMap(({ metadata: { name, uid } }) => {
    const lease = directory.round?.leases.get(name)
    return lease?.podUid === uid && lease?.redisPersistent !== undefined ? [lease.redisPersistent] : []
  })
  if (told.includes(false)) {
    const message =
      'Redis has neither an append-only file nor a replica: a restart of it loses accepted messages; set appendonly yes, or add a replica, unless losing them is fine'
    return { status: 'False', reason: 'RedisKeepsNothing', message }
  }
  if (told.length > 0) {
    return { status: 'True', reason: 'RedisPersistent', message: 'Redis has an append-only file or a replica' }
  }
  return former ?? { status: 'Unknown', reason: 'NotKnown', message: 'no gateway has told how Redis is set up' }
}
