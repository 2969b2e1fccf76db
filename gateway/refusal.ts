import type { CodeName } from '../protocol/codes.ts'
import { ProtocolError } from '../protocol/errors.ts'
import { SessionError, type SessionErrorCode } from '../session/errors.ts'

const told: Partial<Record<SessionErrorCode, CodeName>> = {
  redis_full: 'storage_full',
  redis_refuses_writes: 'storage_read_only',
  redis_foreign_key: 'storage_foreign',
}

/** Of the code `unavailable`, as what to do is the same. */
export const REDIS_LOADING = 'Redis is loading its data; try again with the same messageId'

/** What a client is told of a failure: nothing about the inside of the gateway. */
export function toProtocolError(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error
  if (!(error instanceof SessionError)) return new ProtocolError('internal', undefined, { cause: error })
  const { code } = error.code === 'session_unknown' && error.cause instanceof SessionError ? error.cause : error
  if (code === 'redis_loading') return new ProtocolError('unavailable', REDIS_LOADING, { cause: error })
  return new ProtocolError(told[code] ?? (error.retryable ? 'unavailable' : 'internal'), undefined, { cause: error })
}
