import type { FrameOf } from '../protocol/frames.ts'
import { Backoff } from './backoff.ts'
import { Connection, describeUrl, type ConnectionEvents } from './connection.ts'
import { buildLocalEnding, ClientError, isTokenRefused, type Ending } from './errors.ts'
import { sleep, startDeadline } from './timing.ts'
import type { Tokens } from './tokens.ts'
import type { OpenTransport } from './transport.ts'

/** Spreads clients that are sent to another gateway at the same moment. */
const ELSEWHERE_JITTER_MS = 100
/** How long a login that failed may still have taken effect at its gateway, and end the connection that is up. */
const DOUBT_MS = 30_000

export interface ReconnectorOptions {
  readonly urls: readonly URL[]
  readonly connectTimeoutMs: number
  readonly heartbeatTimeoutMs: number
  readonly backoffBaseMs: number
  readonly backoffCapMs: number
  readonly stableAfterMs: number
}

export interface ReconnectorEvents {
  /** A connection ended or was not to be had; the next attempt, of that number since the last success, is `retryInMs` away. */
  waiting(ending: Ending, retryInMs: number, attempt: number): void
  buildLogin(token: string): Omit<FrameOf<'login'>, 'type' | 'requestId'>
}

/** Why a client is not to connect again. */
export class FinalEnding extends Error {
  readonly ending: Ending
  constructor(ending: Ending) {
    super(ending.error.message, { cause: ending.error })
    this.ending = ending
  }
}

/** Opens connections, one attempt at a time, and decides by the code table when, where and whether to try again. */
export class Reconnector {
  readonly #options: ReconnectorOptions
  readonly #openTransport: OpenTransport
  readonly #tokens: Tokens
  readonly #events: ReconnectorEvents
  readonly #connectionEvents: ConnectionEvents
  readonly #backoff: Backoff
  #urlIndex = -1
  /** Attempts without back-off since the last stable connection: at most one round over the urls. */
  #quickAttempts = 0
  /** The last login, or the connection before it, was refused for its token, and the function was asked anew. */
  #tokenRetried = false
  #attempt: Connection | undefined
  #doubtUntil = 0

  constructor(
    options: ReconnectorOptions,
    openTransport: OpenTransport,
    tokens: Tokens,
    events: ReconnectorEvents,
    connectionEvents: ConnectionEvents,
  ) {
    this.#options = options
    this.#openTransport = openTransport
    this.#tokens = tokens
    this.#events = events
    this.#connectionEvents = connectionEvents
    this.#backoff = new Backoff(options.backoffBaseMs, options.backoffCapMs)
  }

  /**
   * Resolves with a connection that is logged in. `after` is how the one before ended, if it did; with `stay` the first
   * attempt goes to the same URL as the last. Rejects with a FinalEnding, and when the signal is aborted.
   */
  async next(
    signal: AbortSignal,
    { after, stay = false }: { after?: Ending; stay?: boolean } = {},
  ): Promise<Connection> {
    if (stay) this.#urlIndex -= 1
    let ending = after
    for (let attempt = 0; ; attempt++) {
      if (ending) {
        if (this.isFinal(ending)) throw new FinalEnding(ending)
        if (isTokenRefused(ending.error)) this.#forgetToken()
        const retryInMs = this.#delayAfter(ending)
        this.#events.waiting(ending, retryInMs, attempt)
        await sleep(retryInMs, signal)
      }
      signal.throwIfAborted()
      const opened = await this.#open(signal)
      if (opened instanceof Connection) return opened
      ending = opened
    }
  }

  /** Whether a client must not try again after this. `loggedIn`: it ended a connection that was logged in. */
  isFinal({ advice, error }: Ending, loggedIn = false): boolean {
    if (advice !== 'do-not-reconnect') return false
    // A token that was good is good no more (its key was changed): a function may have another. Once for each login that worked.
    if (isTokenRefused(error)) return !this.#tokens.renewable || (this.#tokenRetried && !loggedIn)
    // It was this very client: a newer login of its own is under way, or one that failed took effect after all.
    if (error.code === 'replaced') return !this.loggingIn && Date.now() > this.#doubtUntil
    return true
  }

  /** Whether a login is out that has no answer yet. */
  get loggingIn(): boolean {
    return this.#attempt?.maybeLoggedIn === true
  }

  /** A connection that was logged in has ended. */
  ended(connection: Connection): void {
    if (Date.now() - connection.openedAt < this.#options.stableAfterMs) return
    this.#backoff.reset()
    this.#quickAttempts = 0
  }

  #forgetToken(): void {
    this.#tokenRetried = true
    this.#tokens.invalidate()
  }

  #delayAfter({ advice }: Ending): number {
    if (advice === 'reconnect-elsewhere' && this.#quickAttempts < this.#options.urls.length) {
      this.#quickAttempts += 1
      return Math.round(Math.random() * ELSEWHERE_JITTER_MS)
    }
    return this.#backoff.next()
  }

  #nextUrl(): URL {
    const { urls } = this.#options
    this.#urlIndex = (this.#urlIndex + 1) % urls.length
    const url = urls[this.#urlIndex]
    if (url === undefined) throw new RangeError('there are no urls')
    return url
  }

  async #open(signal: AbortSignal): Promise<Connection | Ending> {
    const { connectTimeoutMs, heartbeatTimeoutMs } = this.#options
    let token: string
    try {
      token = await this.#tokens.get()
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      return { error, advice: 'reconnect', clientType: undefined }
    }
    signal.throwIfAborted()
    const url = this.#nextUrl()
    const login = this.#events.buildLogin(token)
    const connection = new Connection(url, this.#openTransport, login, heartbeatTimeoutMs, this.#connectionEvents)
    this.#attempt = connection
    const detail = `${describeUrl(url)}, ${connectTimeoutMs} ms`
    const giveUp = () => connection.abandon(buildLocalEnding('connect_timeout', detail))
    const cancel = startDeadline(connectTimeoutMs, giveUp)
    const onAbort = () => connection.abandon(buildLocalEnding('closed'))
    signal.addEventListener('abort', onAbort)
    const ending = await connection.ready
    cancel()
    signal.removeEventListener('abort', onAbort)
    this.#attempt = undefined
    if (ending === undefined) {
      this.#tokenRetried = false
      return connection
    }
    // A gateway may fail or be told to go after it has written the session: whatever it says, the login may count.
    if (connection.maybeLoggedIn) this.#doubtUntil = Date.now() + DOUBT_MS
    signal.throwIfAborted()
    return ending
  }
}
