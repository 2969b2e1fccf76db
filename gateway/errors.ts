/** Stable codes of the failures that end a gateway, or keep it from starting. */
export type GatewayErrorCode =
  | 'SETTINGS_INVALID'
  | 'LISTEN_FAILED'
  | 'TLS_INVALID'
  | 'SECRET_UNREADABLE'
  | 'NATS_UNREACHABLE'
  | 'NATS_REFUSED'
  | 'NATS_FORBIDDEN'
  | 'NATS_WITHOUT_TLS'
  | 'REDIS_UNREACHABLE'
  | 'REDIS_REFUSED'
  | 'BROKER_REPLACED'

/** A failure of the gateway as a whole, as against one that a client is told (`ProtocolError`). */
export class GatewayError extends Error {
  readonly code: GatewayErrorCode
  /** Whether starting the gateway again, unchanged, can help. */
  readonly retryable: boolean
  constructor(code: GatewayErrorCode, message: string, options: ErrorOptions & { retryable: boolean }) {
    super(message, options)
    this.name = 'GatewayError'
    this.code = code
    this.retryable = options.retryable
  }
}
