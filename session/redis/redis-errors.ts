import { SessionError, type SessionErrorCode } from '../errors.ts'
import { describeKey } from '../keys.ts'
import { buildLoadingError } from './redis-loading.ts'

/** First words of Redis' own answers that say "not now". A script's error may carry them behind a dash. */
const temporary = /(?:^|-)(MASTERDOWN|NOGOODSLAVE|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|UNBLOCKED) /

/** First words of those that say what somebody has to mend, and what that is. */
const refusals: Readonly<Record<string, readonly [code: SessionErrorCode, message: string]>> = {
  OOM: ['redis_full', 'Redis is full: raise its maxmemory, or retain less of inboxes'],
  READONLY: ['redis_refuses_writes', 'Redis refuses writes: it is a replica, or was made one; connect to the primary'],
  MISCONF: [
    'redis_refuses_writes',
    'Redis refuses writes: it cannot save its data; see its log and the space on its disk',
  ],
  NOREPLICAS: ['redis_refuses_writes', 'Redis refuses writes: it has fewer replicas than min-replicas-to-write'],
}
const refused = new RegExp(`(?:^|-)(${Object.keys(refusals).join('|')}) `)
const loading = /(?:^|-)LOADING /
const wrongType = /(?:^|-)WRONGTYPE /

/** Errors after which the same call can succeed later, and a write may have been carried out. */
const passing: ReadonlySet<SessionErrorCode> = new Set([
  'redis_unavailable',
  'redis_loading',
  'redis_full',
  'redis_refuses_writes',
])

/** What a server without functions answers. */
const tooOld = /^ERR unknown command ['`]?FCALL/i

/** What ioredis makes of the answer of another kind of server. */
const foreign = /^Unknown RESP type/

/** Codes of Node for a certificate that is not trusted, is out of date or is of another host. */
const certificate = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT_)/

export const NO_TLS = 'what answers speaks no TLS, which rediss:// asks for'

/** What ioredis says when a connection is away or lost; it has no codes for these. */
const away =
  /^(Stream isn't writeable|Cluster isn't ready|Connection is closed|Command timed out|Command aborted|Socket timeout|Reached the max retries per request|Failed to refresh slots cache|None of startup nodes|Too many Cluster redirections|Cluster is |All sentinels are unreachable|connect ETIMEDOUT|Client network socket disconnected before secure TLS|timeout$|max number of clients reached|ERR max number of clients)/

/**
 * Whether a call failed because Redis is away, overloaded or failing over: the same call can succeed later. Whether a
 * write was carried out is not known.
 */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof SessionError) return passing.has(error.code)
  if (!(error instanceof Error)) return false
  if ([away, temporary, loading, refused].some((pattern) => pattern.test(error.message))) return true
  // Socket and DNS errors of Node, such as ECONNREFUSED.
  return 'syscall' in error || error.name === 'ClusterAllFailedError'
}

/**
 * The error of this area for whatever ioredis threw. Keeps it as the cause, without the command's arguments.
 *
 * @param keys those that may be what a foreign key is about; by default the one that the command names first
 */
export function translateError(error: unknown, keys: readonly string[] = firstKeyOf(error)): SessionError {
  if (error instanceof SessionError) return error
  // ioredis attaches the whole command: payloads, and the password of a refused AUTH.
  if (error instanceof Error) Reflect.deleteProperty(error, 'command')
  const reason = error instanceof Error ? error.message : String(error)
  const refusal = describeRefusal(error, reason)
  if (refusal !== undefined) return new SessionError('redis_refused', refusal, { cause: error })
  if (tooOld.test(reason)) {
    return new SessionError('redis_failed', 'Redis has no functions: use Redis 7.0 or later', { cause: error })
  }
  if (loading.test(reason)) return buildLoadingError(error)
  const [code, message] = refusals[refused.exec(reason)?.[1] ?? ''] ?? []
  if (code !== undefined) return new SessionError(code, `${message} (${reason})`, { cause: error })
  if (wrongType.test(reason)) {
    const what = keys.map(describeKey).join(', or ')
    const advice = 'something else has written it; find out what, and remove it'
    return new SessionError('redis_foreign_key', `foreign data in Redis instead of ${what}; ${advice}`, {
      cause: error,
    })
  }
  return isUnavailable(error)
    ? new SessionError('redis_unavailable', `Redis is unavailable: ${reason}`, { cause: error })
    : new SessionError('redis_failed', `Redis refused a command: ${reason}`, { cause: error })
}

function describeRefusal(error: unknown, reason: string): string | undefined {
  if (foreign.test(reason)) return 'what answers is no Redis'
  if (/^(WRONGPASS|NOAUTH|NOPERM) /.test(reason)) return `Redis refuses the user of the URL: ${reason}`
  const { code } = error as { code?: unknown }
  if (typeof code !== 'string') return undefined
  // Some bytes of a server without TLS, read as a record of TLS.
  if (/^ERR_SSL_(WRONG_VERSION|PACKET_LENGTH|UNEXPECTED_MESSAGE)/.test(code)) return NO_TLS
  return certificate.test(code) ? `the certificate of Redis is not accepted: ${reason}` : undefined
}

/** The key of a plain command; functions are given theirs apart. */
function firstKeyOf(error: unknown): string[] {
  const { command } = error as { command?: { name?: string; args?: readonly unknown[] } }
  const key = command?.name === 'fcall' ? command.args?.[2] : command?.args?.[0]
  return typeof key === 'string' ? [key] : []
}
