import { ClientError } from '../index.ts'

/** A command cannot do what it is asked to. */
export class CommandError extends Error {
  /** Stable name of what went wrong. */
  readonly code: string
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CommandError'
    this.code = code
  }
}

/** What to do about a code, where that is more than its message says. */
const advice: Readonly<Record<string, string>> = {
  connect_failed:
    'is a gateway running there, is the port that of the scheme (ws:// and tcp:// have different ones), and with TLS, is its ' +
    'certificate trusted (--ca)?',
  connect_timeout: 'something listens there and does not answer as a gateway does; check host, port and scheme',
  protocol_violation: 'something else than a gateway answers there, or TLS is missing (wss://, tls://) or too much',
  token_invalid:
    "make one with `im token`, with the gateway's IM_AUTH_SECRET; with IM_AUTH_MODE=none it is <app>:<user>",
  token_expired: 'make a new one with `im token`',
  app_forbidden: 'use a token of an app in the gateway’s IM_AUTH_APPS',
  displaced: 'the device policy of the gateway allows no second one; choose another kind of device with --device',
  replaced: 'two of the same --device run at once; give each an id of its own',
  recipient_self: 'choose another recipient with --to',
  recipient_invalid: 'give a user id of 1 to 128 bytes with --to',
  payload_too_large: 'send less at once, or raise the gateway’s IM_MAX_FRAME_BYTES',
  storage_full: 'Redis needs more memory, or a shorter retention of inboxes; try again with the same --message-id',
  storage_read_only:
    'see the condition of the ImCluster or the log of the gateway; try again with the same --message-id',
  storage_foreign: 'the log of the gateway names the key; remove it',
  unavailable: 'the gateway has lost Redis or NATS; try again with the same --message-id',
}

/** A failure as the user is told it: its code, and what to do. */
export function describeError(error: unknown): { code: string; text: string } {
  if (error instanceof ClientError) {
    const { code, message, outcome, messageId } = mostTelling(error)
    const hints = [message, advice[code], outcome === 'unknown' && messageId ? `its message id is ${messageId}` : '']
    return { code, text: hints.filter(Boolean).join('; ') }
  }
  if (error instanceof CommandError) return { code: error.code, text: error.message }
  return { code: 'failed', text: error instanceof Error ? error.message : String(error) }
}

/** That a request took too long says less than why. */
function mostTelling(error: ClientError): ClientError {
  const { code, cause, outcome } = error
  const shallow = code === 'request_timeout' || (code === 'send_timeout' && outcome === 'not-sent')
  return shallow && cause instanceof ClientError ? cause : error
}
