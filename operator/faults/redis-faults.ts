import { SessionError, type SessionErrorCode } from '../../session/errors.ts'
import type { ImCluster } from '../api/imcluster.ts'
import type { Fault } from './fault.ts'

/** Reasons whose words are the error's own: session/redis/redis-errors.ts has them, for gateways, too. */
const reasons: Partial<Record<SessionErrorCode, string>> = {
  redis_full: 'RedisFull',
  redis_loading: 'RedisLoading',
  redis_refuses_writes: 'RedisRefusesWrites',
  redis_foreign_key: 'RedisForeignKey',
}

/** What a failure of the directory is called in the conditions, and where to look; any other error is thrown on. */
export function buildRedisFault(error: unknown, { spec: { redis } }: ImCluster): Fault {
  if (!(error instanceof SessionError)) throw error
  const { urlSecretRef } = redis
  const url = urlSecretRef === undefined ? 'spec.redis.url' : `${urlSecretRef.key} in the Secret ${urlSecretRef.name}`
  const reason = reasons[error.code]
  if (reason !== undefined) return { reason, message: error.message }
  return error.code === 'redis_url_invalid'
    ? { reason: 'RedisUrlInvalid', message: `${error.message}; correct ${url}` }
    : { reason: 'RedisUnavailable', message: `${error.message}; check ${url}, and whether Redis runs` }
}
