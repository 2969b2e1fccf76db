import { guard, primariesOf, type RedisClient } from './redis.ts'

/** How Redis is set up, as far as promises rest on it. */
export interface RedisRisks {
  /** The `maxmemory-policy` of a primary that evicts keys of ours; undefined when none does, or none can be asked. */
  readonly evictionPolicy: string | undefined
  /** Whether each primary has an append-only file or a replica; undefined when that cannot be known. */
  readonly persistent: boolean | undefined
}

/**
 * Reads it from every primary, by INFO: CONFIG is what users with limited rights and managed services do not have.
 *
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export async function readRisks(redis: RedisClient): Promise<RedisRisks> {
  const texts = await guard(
    Promise.all(
      primariesOf(redis).map(async (node) => {
        const sections = ['memory', 'persistence', 'replication'].map((section) => node.info(section))
        return (await Promise.all(sections)).join('\n')
      }),
    ),
  )
  const found = texts.map(parseRisks)
  const persistent = found.map((risks) => risks.persistent)
  return {
    evictionPolicy: found.find((risks) => risks.evictionPolicy !== undefined)?.evictionPolicy,
    persistent: persistent.includes(false) ? false : persistent.includes(undefined) ? undefined : true,
  }
}

/** The same from the text of INFO. */
export function parseRisks(info: string): RedisRisks {
  const valueOf = (name: string) => new RegExp(`^${name}:(\\S*)`, 'm').exec(info)?.[1]
  const policy = valueOf('maxmemory_policy')
  const [aof, replicas] = [valueOf('aof_enabled'), valueOf('connected_slaves')]
  return {
    evictionPolicy: policy === 'noeviction' ? undefined : policy,
    persistent: aof === undefined || replicas === undefined ? undefined : aof === '1' || Number(replicas) > 0,
  }
}
