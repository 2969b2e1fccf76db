/** Stable codes of a request to the API server that failed. */
export type ApiErrorCode =
  | 'BAD_REQUEST'
  | 'UNAUTHORIZED'
  | 'FORBIDDEN'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'CONFLICT'
  | 'GONE'
  | 'INVALID'
  | 'TOO_MANY_REQUESTS'
  | 'SERVER_ERROR'
  | 'NETWORK'
  | 'TIMEOUT'
  | 'PROTOCOL'

export interface ApiErrorOptions extends ErrorOptions {
  /** HTTP status; 0 when the server did not answer. */
  readonly status?: number
  /** The `reason` of the server's Status object, such as `Conflict` or `Expired`. */
  readonly reason?: string
  /** How long the server asks to wait before the next try. */
  readonly retryAfterMs?: number | undefined
  /** Whether the server may have seen the request; false only when that is impossible. */
  readonly sent?: boolean
}

/** Codes that the same request may get past later; a conflict needs the object read again first. */
const retryableCodes: ReadonlySet<ApiErrorCode> = new Set([
  'CONFLICT',
  'GONE',
  'TOO_MANY_REQUESTS',
  'SERVER_ERROR',
  'NETWORK',
  'TIMEOUT',
  'PROTOCOL',
])

/** A request to the API server that failed. The message names method and path, never a body, header or query. */
export class ApiError extends Error {
  readonly code: ApiErrorCode
  readonly status: number
  readonly reason: string
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  readonly sent: boolean
  constructor(code: ApiErrorCode, message: string, options: ApiErrorOptions = {}) {
    super(message, options)
    this.name = 'ApiError'
    this.code = code
    this.status = options.status ?? 0
    this.reason = options.reason ?? ''
    this.retryable = retryableCodes.has(code)
    this.retryAfterMs = options.retryAfterMs
    this.sent = options.sent ?? true
  }
}

/** Whether an error is the API server's answer (or silence) of that kind. */
export function isApiError(error: unknown, ...codes: readonly ApiErrorCode[]): error is ApiError {
  return error instanceof ApiError && (codes.length === 0 || codes.includes(error.code))
}

/** Stable codes of the runtime's own failures. */
export type RuntimeErrorCode =
  'CONFIG_INVALID' | 'DEADLINE_EXCEEDED' | 'NOT_SYNCED' | 'RECONCILE_OVERDUE' | 'HANDLER_FAILED' | 'LEASE_LOST'

/** A failure of the runtime itself, as against one answered by the API server. */
export class RuntimeError extends Error {
  readonly code: RuntimeErrorCode
  readonly retryable: boolean
  constructor(code: RuntimeErrorCode, message: string, options: ErrorOptions & { readonly retryable: boolean }) {
    super(message, options)
    this.name = 'RuntimeError'
    this.code = code
    this.retryable = options.retryable
  }
}

/** The part of a `Status` object (meta/v1) that is used. */
export interface StatusObject {
  readonly code?: number
  readonly reason?: string
  readonly message?: string
  readonly details?: { readonly retryAfterSeconds?: number }
}

/** Makes the error of a Status object: the body of a refused request, or the object of a watch's ERROR event. */
export function buildStatusError(what: string, status: number, body: StatusObject, retryAfter?: string): ApiError {
  const reason = typeof body.reason === 'string' ? body.reason : ''
  const message = typeof body.message === 'string' && body.message !== '' ? body.message : reason || 'no message'
  const seconds = Number(retryAfter ?? body.details?.retryAfterSeconds ?? Number.NaN)
  return new ApiError(codeOf(status, reason), `${what}: ${status} ${message.slice(0, 1_000)}`, {
    status,
    reason,
    // A date is allowed by HTTP, but no API server sends one; it counts as no wish.
    retryAfterMs: Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined,
  })
}

function codeOf(status: number, reason: string): ApiErrorCode {
  switch (status) {
    case 400:
      return 'BAD_REQUEST'
    case 401:
      return 'UNAUTHORIZED'
    case 403:
      return 'FORBIDDEN'
    case 404:
      return 'NOT_FOUND'
    case 409:
      return reason === 'AlreadyExists' ? 'ALREADY_EXISTS' : 'CONFLICT'
    case 410:
      return 'GONE'
    case 422:
      return 'INVALID'
    case 429:
      return 'TOO_MANY_REQUESTS'
    default:
      return status >= 500 ? 'SERVER_ERROR' : status >= 400 ? 'BAD_REQUEST' : 'PROTOCOL'
  }
}
