/** Stable names of everything that can go wrong in the directory, the inboxes, the leases and the cleanup. */
export type SessionErrorCode =
  /** Redis is away or fails over. Nothing is known about whether a write happened. */
  | 'redis_unavailable'
  /** Redis has been started and still loads its data: it takes nothing until then. */
  | 'redis_loading'
  /** Redis has no memory left: somebody must act before it takes more. */
  | 'redis_full'
  /** Redis takes no writes, for want of a disk or of replicas, or because it is a replica itself. */
  | 'redis_refuses_writes'
  /** A key of ours holds what somebody else has put there; no retry helps. */
  | 'redis_foreign_key'
  /** The same while a session was being written: it may be stored, and is to be removed. */
  | 'session_unknown'
  /** What answers is no Redis, speaks no TLS where it must, or refuses the credentials or a right. */
  | 'redis_refused'
  /** Redis answered with another error that no retry cures. */
  | 'redis_failed'
  | 'redis_url_invalid'
  /** Too many logins of one user at once: none was written for this call. */
  | 'contended'
  /** The connection ended before its session was written. */
  | 'login_abandoned'
  | 'session_malformed'
  | 'id_malformed'
  | 'policy_invalid'
  /** Another living process holds the lease of this brokerId. */
  | 'broker_id_in_use'
  /** A cleanup was asked for an incarnation whose lease still runs. */
  | 'incarnation_alive'

const retryableCodes: ReadonlySet<SessionErrorCode> = new Set([
  'redis_unavailable',
  'redis_loading',
  'redis_full',
  'redis_refuses_writes',
  'session_unknown',
  'contended',
  'incarnation_alive',
])

/** A failure of this area. `retryable`: the same call can succeed later. Messages never hold payloads or passwords. */
export class SessionError extends Error {
  readonly code: SessionErrorCode
  constructor(code: SessionErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SessionError'
    this.code = code
  }

  get retryable(): boolean {
    return retryableCodes.has(this.code)
  }
}
