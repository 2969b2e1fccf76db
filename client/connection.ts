import { encodeBinary } from '../protocol/binary.ts'
import { adviceOf, codeName, codes } from '../protocol/codes.ts'
import { ProtocolError } from '../protocol/errors.ts'
import { FrameDecoder } from '../protocol/frame-decoder.ts'
import { NO_CLIENT_TYPE, type ClientFrame, type Frame, type FrameOf } from '../protocol/frames.ts'
import {
  buildGatewayEnding,
  buildGatewayError,
  buildLocalEnding,
  buildLocalError,
  ClientError,
  type Ending,
} from './errors.ts'
import { Heartbeat } from './heartbeat.ts'
import type { OpenTransport, Transport } from './transport.ts'

/** Largest frame taken before the gateway said its own maximum. */
const FIRST_FRAME_BYTES = 65_536
/** How long a closed transport may take to send what it holds and end. */
const LINGER_MS = 2_000
const MAX_REQUEST_ID = 2 ** 32 - 1
/** RFC 6455, section 7.4.2: from here on close codes are an application's own. */
const FIRST_APPLICATION_CODE = 4000

/** Frames that answer no request. */
export type Pushed = FrameOf<'message' | 'gap' | 'notice' | 'goAway' | 'error'>

/** What a connection reports, in the order in which it came. */
export interface ConnectionEvents {
  loggedIn(connection: Connection): void
  pushed(connection: Connection, frame: Pushed): void
  /** It is over. Called once, and only for a connection that was logged in. */
  ended(connection: Connection, ending: Ending): void
}

interface Replies {
  renew: 'renewed'
  send: 'accepted'
  presence: 'presenceState'
}

type Fields<Type extends keyof Replies> = Omit<FrameOf<Type>, 'type' | 'requestId'>

/** A request on its way. */
export interface Request<Reply> {
  /** Rejects with a ClientError when the gateway refuses the request or the connection ends first. */
  readonly reply: Promise<Reply>
  /** Stops waiting: `reply` never settles. */
  forget(): void
}

interface Waiting {
  readonly type: string
  resolve(frame: Frame): void
  reject(error: ClientError): void
}

/** One connection: transport, codec, login, requests with their answers, heartbeat. It never reconnects. */
export class Connection {
  readonly url: URL
  /** The epoch that the login named; empty when it named none. */
  readonly resumedEpoch: string
  /** Resolves with undefined once logged in, or with why that failed. */
  readonly ready: Promise<Ending | undefined>
  readonly openedAt = Date.now()
  readonly #events: ConnectionEvents
  readonly #login: FrameOf<'login'>
  readonly #heartbeatTimeoutMs: number
  readonly #transport: Transport
  readonly #decoder = new FrameDecoder(FIRST_FRAME_BYTES)
  readonly #waiting = new Map<number, Waiting>()
  readonly #settleReady: (ending: Ending | undefined) => void
  readonly #gone = Promise.withResolvers<void>()
  #loggedIn: FrameOf<'loggedIn'> | undefined
  #loginSent = false
  #over = false
  #lastRequestId = 0
  #heartbeat: Heartbeat | undefined
  #lingerTimer: ReturnType<typeof setTimeout> | undefined

  /** Begins to connect and log in. `heartbeatTimeoutMs`: silence after a ping that makes the connection count as dead. */
  constructor(
    url: URL,
    openTransport: OpenTransport,
    login: Omit<FrameOf<'login'>, 'type' | 'requestId'>,
    heartbeatTimeoutMs: number,
    events: ConnectionEvents,
  ) {
    this.url = url
    this.resumedEpoch = login.epoch
    this.#login = { type: 'login', requestId: 0, ...login }
    this.#heartbeatTimeoutMs = heartbeatTimeoutMs
    this.#events = events
    const { promise, resolve } = Promise.withResolvers<Ending | undefined>()
    this.ready = promise
    this.#settleReady = resolve
    this.#transport = openTransport(url, {
      opened: () => this.#sendLogin(),
      data: (bytes, whole) => this.#receive(bytes, whole),
      closed: (end) => {
        this.#end(buildTransportEnding(url, end, this.#loginSent))
        clearTimeout(this.#lingerTimer)
        this.#gone.resolve()
      },
    })
  }

  /** The gateway's answer to the login. Throws before there is one. */
  get session(): FrameOf<'loggedIn'> {
    if (this.#loggedIn === undefined) throw buildLocalError('connection_lost', 'not logged in')
    return this.#loggedIn
  }

  /** Whether a login went out that may have been taken although no answer came. */
  get maybeLoggedIn(): boolean {
    return this.#loginSent
  }

  /** Resolves when nothing of it is left. */
  get gone(): Promise<void> {
    return this.#gone.promise
  }

  /** Sends a frame that has no answer. */
  post(frame: ClientFrame): void {
    if (!this.#over) this.#transport.send(encodeBinary(frame))
  }

  /**
   * Sends a request; its answer is found by the requestId. Throws a ClientError `connection_lost` when the connection is
   * over, `payload_too_large` for a frame beyond the gateway's maximum, `option_invalid` when a value fits no frame.
   */
  request<Type extends keyof Replies>(type: Type, fields: Fields<Type>): Request<FrameOf<Replies[Type]>> {
    if (this.#over) throw buildLocalError('connection_lost')
    const requestId = this.#nextRequestId()
    const frame = this.#encode({ type, requestId, ...fields } as unknown as ClientFrame)
    const { promise, resolve, reject } = Promise.withResolvers<Frame>()
    this.#waiting.set(requestId, { type: replyTypes[type], resolve, reject })
    this.#transport.send(frame)
    return {
      reply: promise as Promise<FrameOf<Replies[Type]>>,
      forget: () => this.#waiting.delete(requestId),
    }
  }

  /** Ends the connection after what was sent has gone out; resolves when it is gone, after two seconds at the latest. */
  close(): Promise<void> {
    this.#end(buildLocalEnding('closed'))
    return this.#gone.promise
  }

  /** Gives up on a connection that is not logged in yet. */
  abandon(ending: Ending): void {
    this.#end(ending)
    this.#drop()
  }

  #encode(frame: ClientFrame): Uint8Array {
    let encoded: Uint8Array
    try {
      encoded = encodeBinary(frame)
    } catch (cause) {
      if (cause instanceof RangeError) throw buildLocalError('option_invalid', cause.message, { cause })
      throw cause
    }
    if (this.#loggedIn && encoded.length - 4 > this.#loggedIn.maxFrameBytes) {
      const { code, message } = codes.payload_too_large
      throw new ClientError(
        'payload_too_large',
        `${message} (a frame has at most ${this.#loggedIn.maxFrameBytes} bytes)`,
        {
          number: code,
        },
      )
    }
    return encoded
  }

  #nextRequestId(): number {
    // 0 answers no request in particular. Wrapping around meets no id in use: far fewer are in flight.
    this.#lastRequestId = this.#lastRequestId >= MAX_REQUEST_ID ? 1 : this.#lastRequestId + 1
    return this.#lastRequestId
  }

  #sendLogin(): void {
    if (this.#over) return
    this.#loginSent = true
    this.#transport.send(encodeBinary({ ...this.#login, requestId: this.#nextRequestId() }))
  }

  #receive(bytes: Uint8Array, whole: boolean): void {
    if (this.#over) return
    this.#heartbeat?.heard()
    this.#decoder.push(bytes)
    for (let frame = this.#decode(); frame !== undefined; frame = this.#decode()) this.#handle(frame)
    if (!this.#over && whole && this.#decoder.midFrame) this.#violation('a WebSocket message ends within a frame')
  }

  #decode(): Frame | undefined {
    if (this.#over) return undefined
    try {
      return this.#decoder.next()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#violation(error.message, error)
      return undefined
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case 'loggedIn':
        return this.#admit(frame)
      case 'renewed':
      case 'accepted':
      case 'presenceState':
        return this.#answer(frame)
      case 'error':
        return this.#refused(frame)
      case 'message':
      case 'gap':
      case 'notice':
      case 'goAway':
        if (this.#loggedIn) this.#events.pushed(this, frame)
        return
      case 'ping':
        return this.post({ type: 'pong' })
      case 'close':
        return this.#end(
          buildGatewayEnding(
            frame.code,
            frame.message,
            frame.clientType === NO_CLIENT_TYPE ? undefined : frame.clientType,
          ),
        )
      default:
      // A pong has done its work by coming; frames that only a client sends mean nothing here.
    }
  }

  #admit(frame: FrameOf<'loggedIn'>): void {
    if (this.#loggedIn) return
    this.#loggedIn = frame
    this.#decoder.maxFrameBytes = Math.max(frame.maxFrameBytes, FIRST_FRAME_BYTES)
    if (frame.heartbeatMs > 0) {
      this.#heartbeat = new Heartbeat(
        frame.heartbeatMs,
        this.#heartbeatTimeoutMs,
        () => this.post({ type: 'ping' }),
        () => {
          this.#end(buildLocalEnding('heartbeat_timeout'))
          this.#drop()
        },
      )
    }
    this.#settleReady(undefined)
    this.#events.loggedIn(this)
  }

  #answer(frame: FrameOf<'renewed' | 'accepted' | 'presenceState'>): void {
    const waiting = this.#waiting.get(frame.requestId)
    if (waiting?.type !== frame.type) return
    this.#waiting.delete(frame.requestId)
    waiting.resolve(frame)
  }

  #refused(frame: FrameOf<'error'>): void {
    const waiting = this.#waiting.get(frame.requestId)
    this.#waiting.delete(frame.requestId)
    if (waiting) waiting.reject(buildGatewayError(frame.code, frame.message, { outcome: 'refused' }))
    else if (this.#loggedIn) this.#events.pushed(this, frame)
  }

  #violation(what: string, cause?: unknown): void {
    this.#end(buildLocalEnding('protocol_violation', what, cause))
  }

  #end(ending: Ending): void {
    if (this.#over) return
    this.#over = true
    this.#heartbeat?.stop()
    this.#lingerTimer = setTimeout(() => this.#drop(), LINGER_MS)
    this.#transport.close()
    for (const waiting of this.#waiting.values()) {
      waiting.reject(buildLocalError('connection_lost', '', { cause: ending.error, outcome: 'unknown' }))
    }
    this.#waiting.clear()
    this.#settleReady(ending)
    if (this.#loggedIn) this.#events.ended(this, ending)
  }

  #drop(): void {
    clearTimeout(this.#lingerTimer)
    this.#transport.destroy()
    this.#gone.resolve()
  }
}

const replyTypes: Replies = { renew: 'renewed', send: 'accepted', presence: 'presenceState' }

function buildTransportEnding(
  url: URL,
  { number, reason = '', cause }: { number?: number; reason?: string; cause?: unknown },
  opened: boolean,
): Ending {
  // Other numbers only say that the connection is gone, unless what was sent is why.
  if (number !== undefined && (number >= FIRST_APPLICATION_CODE || adviceOf(number) === 'do-not-reconnect')) {
    return buildGatewayEnding(number, reason === codeName(number) ? '' : reason)
  }
  const why = cause === undefined ? reason : describeCause(cause)
  const detail = `${describeUrl(url)}${why && ` (${why})`}`
  return buildLocalEnding(opened ? 'connection_lost' : 'connect_failed', detail, cause)
}

/** Without its query, which may hold what is nobody's business. */
export function describeUrl({ protocol, host }: URL): string {
  return `${protocol}//${host}`
}

/** The innermost reason: what Node and browsers wrap around it says less. */
function describeCause(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return describeCause(cause.errors[0])
  if (!(cause instanceof Error)) return ''
  return cause.cause === undefined ? cause.message : describeCause(cause.cause)
}
