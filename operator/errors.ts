/** A failure that keeps the operator from its work. Stable codes; see also controller/errors.ts and session/errors.ts. */
export class OperatorError extends Error {
  readonly code: 'SETTINGS_INVALID' | 'LISTEN_FAILED' | 'CRD_MISSING' | 'NOT_RELEASED'
  /** Whether starting again, unchanged, can help. */
  readonly retryable: boolean
  constructor(code: OperatorError['code'], message: string, options: ErrorOptions & { retryable: boolean }) {
    super(message, options)
    this.name = 'OperatorError'
    this.code = code
    this.retryable = options.retryable
  }
}
