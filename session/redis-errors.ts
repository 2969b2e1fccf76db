import { SessionError } from './errors.ts'

/** First words of Redis' own answers that say "not now". A script's error may carry them behind a dash. */
const temporary =
  /(?:^|-)(LOADING|READONLY|OOM|MASTERDOWN|NOREPLICAS|NOGOODSLAVE|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|MISCONF|UNBLOCKED) /

/** What a server without functions answers. */
const tooOld = /^ERR unknown command ['`]?FCALL/i

/** What ioredis makes of the answer of another kind of server. */
const foreign = /^Unknown RESP type/

/** What ioredis says when a connection is away or lost; it has no codes for these. */
const away =
  /^(Stream isn't writeable|Cluster isn't ready|Connection is closed|Command timed out|Command aborted|Socket timeout|Reached the max retries per request|Failed to refresh slots cache|None of startup nodes|Too many Cluster redirections|Cluster is |All sentinels are unreachable|connect ETIMEDOUT|max number of clients reached|ERR max number of clients)/

/**
 * Whether a call failed because Redis is away, overloaded or failing over: the same call can succeed later. Whether a
 * write was carried out is not known.
 */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof SessionError) return error.code === 'redis_unavailable'
  if (!(error instanceof Error)) return false
  if (away.test(error.message) || temporary.test(error.message)) return true
  // Socket and DNS errors of Node, such as ECONNREFUSED.
  return 'syscall' in error || error.name === 'ClusterAllFailedError'
}

/** The error of this area for whatever ioredis threw. Keeps it as the cause, without the command's arguments. */
export function translateError(error: unknown): SessionError {
  if (error instanceof SessionError) return error
  // ioredis attaches the whole command: payloads, and the password of a refused AUTH.
  if (error instanceof Error) Reflect.deleteProperty(error, 'command')
  const reason = error instanceof Error ? error.message : String(error)
  if (foreign.test(reason)) return new SessionError('redis_failed', 'what answers is no Redis', { cause: error })
  if (tooOld.test(reason)) {
    return new SessionError('redis_failed', 'Redis has no functions: use Redis 7.0 or later', { cause: error })
  }
  return isUnavailable(error)
    ? new SessionError('redis_unavailable', `Redis is unavailable: ${reason}`, { cause: error })
    : new SessionError('redis_failed', `Redis refused a command: ${reason}`, { cause: error })
}
