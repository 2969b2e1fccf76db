import { clientTypes } from '../protocol/frames.ts'
import { buildLocalError } from './errors.ts'
import type { Cursor } from './message.ts'
import type { Token } from './tokens.ts'

/** The name of a device class, as in the protocol. */
export type ClientTypeName = (typeof clientTypes)[number]

/** How messages are acknowledged: after the application handled them, by `message.ack()`, or never. */
export type AckMode = 'auto' | 'manual' | 'none'

export interface ClientOptions {
  /** Where gateways are, tried in this order and round again: `ws://`, `wss://`, and in Node `tcp://` and `tls://`. */
  readonly urls: string | readonly string[]
  /** A JWT, or what gets one: called again when the token is about to expire, and when a gateway refuses it. */
  readonly token: Token
  /** What this installation is. A login of the same device replaces the one before. */
  readonly device: { readonly clientType: ClientTypeName | number; readonly imei: string }
  /** Of the application; at most 64 bytes. */
  readonly version?: string
  /** Where a device that the cluster has no cursor of begins: at the earliest message kept (default), or with what comes. */
  readonly start?: 'earliest' | 'head'
  /** Where to go on, as an earlier client's `cursor` gave it. Without it the cluster's own record decides. */
  readonly cursor?: Cursor | undefined
  readonly ack?: AckMode
  /** Closes the client when aborted. */
  readonly signal?: AbortSignal

  /** Connecting and logging in, and the token function: 10 000 ms each. */
  readonly connectTimeoutMs?: number
  /** Silence after a ping that makes a connection count as dead: 10 000 ms. */
  readonly heartbeatTimeoutMs?: number
  /** How long a send is tried: 30 000 ms, at most 300 000. */
  readonly sendTimeoutMs?: number
  /** The first reconnect comes within 200 ms, later ones within twice as much each time, up to 20 000 ms. */
  readonly backoffBaseMs?: number
  readonly backoffCapMs?: number
  /** A connection that lasted this long makes the back-off begin anew: 10 000 ms. */
  readonly stableAfterMs?: number
  /** Acknowledgements wait up to 50 ms for each other, or until there are 64. */
  readonly ackDelayMs?: number
  readonly ackEvery?: number

  /** Sends on their way: 256. Further ones wait: 4096, and 16 MiB of payload in all. */
  readonly maxInFlight?: number
  readonly maxQueuedSends?: number
  readonly maxQueuedBytes?: number
  /** Messages that wait for the application: 1024, and 8 MiB of payload. */
  readonly maxQueuedMessages?: number
  readonly maxQueuedMessageBytes?: number
  /** With `ack: 'manual'`, no more messages are handed out while this many are not acknowledged: 1024. */
  readonly maxUnacked?: number
}

const defaults = {
  connectTimeoutMs: 10_000,
  heartbeatTimeoutMs: 10_000,
  sendTimeoutMs: 30_000,
  backoffBaseMs: 200,
  backoffCapMs: 20_000,
  stableAfterMs: 10_000,
  ackDelayMs: 50,
  ackEvery: 64,
  maxInFlight: 256,
  maxQueuedSends: 4_096,
  maxQueuedBytes: 16 * 1024 * 1024,
  maxQueuedMessages: 1_024,
  maxQueuedMessageBytes: 8 * 1024 * 1024,
  maxUnacked: 1_024,
}

/** Well inside the ten minutes for which a gateway recognises a messageId, retries over several gateways included. */
const MAX_SEND_TIMEOUT_MS = 300_000

/** Options with defaults filled in and checked. */
export type ParsedOptions = Readonly<typeof defaults> & {
  readonly urls: readonly URL[]
  readonly token: Token
  readonly clientType: number
  readonly imei: string
  readonly version: string
  readonly start: 'earliest' | 'head'
  readonly cursor: Cursor | undefined
  readonly ack: AckMode
}

/** Throws a ClientError `option_invalid` that names the option. */
export function parseOptions(options: ClientOptions, schemes: readonly string[]): ParsedOptions {
  const { device, version = '', start = 'earliest', cursor, ack = 'auto', token } = options
  const urls = [options.urls].flat().map((url) => parseUrl(url, schemes))
  if (urls.length === 0) throw buildLocalError('option_invalid', 'urls is empty')
  if (typeof token !== 'function' && (typeof token !== 'string' || token === '')) {
    throw buildLocalError('option_invalid', 'token is neither a string with something in it nor a function')
  }
  const numbers = { ...defaults }
  for (const name of Object.keys(defaults) as (keyof typeof defaults)[]) {
    const value = options[name] ?? defaults[name]
    if (!Number.isSafeInteger(value) || value < 1) {
      throw buildLocalError('option_invalid', `${name} must be a whole number, at least 1`)
    }
    numbers[name] = value
  }
  return {
    ...numbers,
    sendTimeoutMs: parseSendTimeout(numbers.sendTimeoutMs),
    urls,
    token,
    clientType: parseClientType(device.clientType),
    imei: device.imei,
    version,
    start,
    cursor,
    ack,
  }
}

/** Checks how long a send may be tried, in milliseconds. Throws a ClientError `option_invalid`. */
export function parseSendTimeout(timeoutMs: number): number {
  if (timeoutMs >= 1 && timeoutMs <= MAX_SEND_TIMEOUT_MS) return timeoutMs
  throw buildLocalError('option_invalid', `a send may be tried for 1 to ${MAX_SEND_TIMEOUT_MS} ms`)
}

function parseUrl(text: string, schemes: readonly string[]): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || url.hostname === '' || !schemes.includes(url.protocol.slice(0, -1))) {
    const wanted = schemes.map((scheme) => `${scheme}://`).join(', ')
    throw buildLocalError(
      'option_invalid',
      `${JSON.stringify(text)} is no address; it must begin with one of ${wanted}`,
    )
  }
  // A WebSocket URL may have no fragment.
  url.hash = ''
  return url
}

function parseClientType(clientType: ClientTypeName | number): number {
  const number = typeof clientType === 'number' ? clientType : clientTypes.indexOf(clientType)
  if (Number.isInteger(number) && number >= 0 && number <= 255) return number
  throw buildLocalError('option_invalid', `clientType must be one of ${clientTypes.join(', ')}`)
}
