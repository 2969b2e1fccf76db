import { adviceOf, codeName, codes, type Advice, type CodeName } from '../protocol/codes.ts'

/** What can go wrong without a gateway saying so, and whether trying again can help. */
const localCodes = {
  option_invalid: { retryable: false, message: 'an option has a value that it may not have' },
  closed: { retryable: false, message: 'the client was closed' },
  aborted: { retryable: true, message: 'the request was aborted' },
  connect_failed: { retryable: true, message: 'the gateway cannot be reached' },
  connect_timeout: { retryable: true, message: 'connecting and logging in took too long' },
  connection_lost: { retryable: true, message: 'the connection ended without a close frame' },
  heartbeat_timeout: { retryable: true, message: 'nothing came from the gateway, not even the answer to a ping' },
  protocol_violation: {
    retryable: true,
    message: 'the gateway sent what this version of the client does not understand',
  },
  token_failed: { retryable: true, message: 'the token function failed' },
  send_timeout: { retryable: true, message: 'a send was not answered in time' },
  request_timeout: { retryable: true, message: 'a request was not answered in time' },
  queue_full: { retryable: true, message: 'as many sends wait as may; await some of them first' },
  consumer_taken: { retryable: false, message: 'messages go to listeners or to one iterator, not to both' },
} as const satisfies Record<string, { retryable: boolean; message: string }>

type LocalCode = keyof typeof localCodes
/** Stable names: those of the protocol's table, the client's own, and `code_<number>` for one newer than this client. */
export type ClientErrorCode = CodeName | LocalCode | `code_${number}`

/**
 * What is known about a send that failed. `not-sent`: it never left this client. `refused`: the gateway said no.
 * `unknown`: it left, and no answer came; the same messageId may be sent again without making a second message.
 */
export type Outcome = 'not-sent' | 'refused' | 'unknown'

/** Every failure that the SDK reports. */
export class ClientError extends Error {
  /** Stable name of what went wrong. */
  readonly code: ClientErrorCode
  /** The number on the wire, when a gateway sent one. */
  readonly number: number | undefined
  /** Whether the same can succeed later, here or at another gateway. */
  readonly retryable: boolean
  /** Only at a send. */
  readonly outcome: Outcome | undefined
  /** Only at a send: what to repeat it with. */
  readonly messageId: string | undefined

  constructor(
    code: ClientErrorCode,
    message: string,
    options: ErrorOptions & {
      number?: number | undefined
      retryable?: boolean
      outcome?: Outcome
      messageId?: string | undefined
    } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : {})
    this.name = 'ClientError'
    this.code = code
    this.number = options.number
    this.retryable = options.retryable ?? (code in localCodes && localCodes[code as LocalCode].retryable)
    this.outcome = options.outcome
    this.messageId = options.messageId
  }
}

/** A failure of the client's own; `detail` is put behind the general message. */
export function buildLocalError(
  code: LocalCode,
  detail = '',
  options: ErrorOptions & { outcome?: Outcome } = {},
): ClientError {
  return new ClientError(code, localCodes[code].message + (detail && `: ${detail}`), options)
}

/** A code that a gateway sent in an `error` or a `close` frame. */
export function buildGatewayError(number: number, message: string, options: { outcome?: Outcome } = {}): ClientError {
  const name = codeName(number)
  return new ClientError(name ?? `code_${number}`, message || (name ? codes[name].message : `code ${number}`), {
    ...options,
    number,
    retryable: adviceOf(number) !== 'do-not-reconnect',
  })
}

/** Whether a gateway refused the token, and another one may be good. */
export function isTokenRefused({ code }: ClientError): boolean {
  return code === 'token_invalid' || code === 'token_expired'
}

/** How a connection ended, or why it never began. */
export interface Ending {
  readonly error: ClientError
  readonly advice: Advice
  /** The device that caused it (`displaced`), if one did. */
  readonly clientType: number | undefined
}

/** An ending that the client found out by itself. */
export function buildLocalEnding(code: LocalCode, detail = '', cause?: unknown): Ending {
  const error = buildLocalError(code, detail, cause === undefined ? {} : { cause })
  return { error, advice: error.retryable ? 'reconnect' : 'do-not-reconnect', clientType: undefined }
}

/** An ending that the gateway gave, in a `close` frame or as the close code of a WebSocket. */
export function buildGatewayEnding(number: number, message: string, clientType?: number): Ending {
  return { error: buildGatewayError(number, message), advice: adviceOf(number), clientType }
}
