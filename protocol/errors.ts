import { adviceOf, codes, type CodeName } from './codes.ts'

/**
 * A failure that the other side is told by its code. Thrown by the decoders and by whoever refuses a frame; the
 * connection turns it into an `error` or a `close` frame.
 */
export class ProtocolError extends Error {
  /** Stable name in the code table. */
  readonly code: CodeName
  constructor(code: CodeName, message: string = codes[code].message, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ProtocolError'
    this.code = code
  }

  /** The number on the wire. */
  get number(): number {
    return codes[this.code].code
  }

  /** Whether the same request can succeed later, here or at another gateway. */
  get retryable(): boolean {
    return adviceOf(this.number) !== 'do-not-reconnect'
  }
}
