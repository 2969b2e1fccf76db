import type { Connection, ConnectionEvents, Pushed } from './connection.ts'
import { Reconnector, FinalEnding, type ReconnectorEvents, type ReconnectorOptions } from './reconnector.ts'
import { throwLater } from './emitter.ts'
import { buildLocalEnding, buildLocalError, type ClientError, type Ending } from './errors.ts'
import type { Disconnected } from './events.ts'
import { sleep, within } from './timing.ts'
import type { Tokens } from './tokens.ts'
import type { OpenTransport } from './transport.ts'

/** How long a connection that was left is kept for the answers to what was sent over it. */
const RETIRE_MS = 2_000

/** Why to look for a new connection: the last one ended, or it is time to move while it is still up. */
type Departure = { readonly after: Ending } | { readonly delayMs: number; readonly stay: boolean }

export interface ConnectionKeeperEvents extends Pick<ReconnectorEvents, 'buildLogin'> {
  /** There is a new connection. `handOver`: one was up until now, and stays for a moment. */
  attached(connection: Connection, handOver: boolean): void
  /** A connection is over, the newest one or one that was left. */
  detached(connection: Connection): void
  pushed(connection: Connection, frame: Exclude<Pushed, { type: 'goAway' }>): void
  disconnected(event: Disconnected): void
  /** There will be no connection any more. Not called after `close`. */
  ended(ending: Ending): void
  /** Resolves when nothing is in flight on the connection. */
  drained(connection: Connection): Promise<void>
}

/**
 * Keeps one connection up, by whatever connections it takes. When one has to be left that is still up, the new one is opened
 * first.
 */
export class ConnectionKeeper {
  readonly #reconnector: Reconnector
  readonly #events: ConnectionKeeperEvents
  readonly #life = new AbortController()
  readonly #retiring = new Set<Connection>()
  #current: Connection | undefined
  #available = buildAvailable()
  #departure = Promise.withResolvers<Departure>()
  #departing = false
  /** Cuts the wait before a hand-over short when the connection does not last that long. */
  #hurry = new AbortController()
  /** The application was told that there is no connection, or never that there is one. */
  #offline = true
  #lastFailure: ClientError | undefined

  constructor(
    options: ReconnectorOptions,
    openTransport: OpenTransport,
    tokens: Tokens,
    events: ConnectionKeeperEvents,
  ) {
    this.#events = events
    const connectionEvents: ConnectionEvents = {
      loggedIn: (connection) => this.#adopt(connection),
      pushed: (connection, frame) => this.#pushed(connection, frame),
      ended: (connection, ending) => this.#ended(connection, ending),
    }
    const connectorEvents: ReconnectorEvents = {
      buildLogin: (token) => events.buildLogin(token),
      waiting: (ending, retryInMs, attempt) => this.#waiting(ending, retryInMs, attempt),
    }
    this.#reconnector = new Reconnector(options, openTransport, tokens, connectorEvents, connectionEvents)
  }

  /** Begins to connect. */
  start(): void {
    void this.#run()
  }

  /** The connection to use now, if there is one. */
  get current(): Connection | undefined {
    return this.#current
  }

  /** Why there is no connection. */
  get lastFailure(): ClientError | undefined {
    return this.#lastFailure
  }

  /** The connection to use, as soon as there is one. Rejects with the ClientErrors of `inTime`, and that of `close`. */
  async connection(timeoutMs: number, signal?: AbortSignal): Promise<Connection> {
    return this.#current ?? this.inTime(this.#available.promise, timeoutMs, signal)
  }

  /** What the promise gives; rejects with a ClientError `request_timeout` or `aborted` when that takes too long. */
  inTime<Value>(promise: Promise<Value>, timeoutMs: number, signal?: AbortSignal): Promise<Value> {
    const expired = () => {
      const cause = this.#current ? undefined : this.#lastFailure
      return buildLocalError('request_timeout', cause?.message, cause ? { cause } : {})
    }
    return within(promise, timeoutMs, signal, expired, (cause) => buildLocalError('aborted', '', { cause }))
  }

  /** Moves to a new connection while this one is up: after `delayMs` milliseconds, to the same URL with `stay`. */
  move(delayMs: number, stay: boolean): void {
    this.#depart({ delayMs, stay })
  }

  /** What the current connection brings is no good any more: opens another one, with the wait of a failure. */
  distrust(ending: Ending): void {
    this.#depart({ after: ending })
  }

  /** Ends all connections; `connection` rejects with `reason` from now on. Resolves when they are gone. */
  async close(reason: ClientError): Promise<void> {
    const connections = [...this.#retiring, ...(this.#current ? [this.#current] : [])]
    this.#life.abort()
    this.#current = undefined
    this.#available.reject(reason)
    this.#available = buildAvailable()
    this.#available.reject(reason)
    const gone = connections.map((connection) => connection.close())
    await Promise.all(gone)
  }

  async #run(): Promise<void> {
    const { signal } = this.#life
    let options: { after?: Ending; stay?: boolean } = {}
    try {
      for (;;) {
        await this.#reconnector.next(signal, options)
        const departure = await this.#departure.promise
        if ('delayMs' in departure) await sleep(departure.delayMs, AbortSignal.any([signal, this.#hurry.signal]))
        options = departure
      }
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof FinalEnding) this.#events.ended(error.ending)
      else {
        this.#events.ended(buildLocalEnding('closed', 'the client failed', error))
        throwLater(error)
      }
    }
  }

  #adopt(connection: Connection): void {
    const former = this.#current
    const handOver = !this.#offline
    this.#current = connection
    this.#offline = false
    this.#lastFailure = undefined
    this.#departure = Promise.withResolvers()
    this.#departing = false
    this.#hurry = new AbortController()
    this.#events.attached(connection, handOver)
    this.#available.resolve(connection)
    if (former) void this.#retire(former)
  }

  /** Lets a connection that was left deliver the answers that are under way, and ends it. */
  async #retire(connection: Connection): Promise<void> {
    this.#retiring.add(connection)
    const patience = new AbortController()
    await Promise.race([this.#events.drained(connection), sleep(RETIRE_MS, patience.signal)])
    patience.abort()
    await connection.close()
    this.#retiring.delete(connection)
  }

  #pushed(connection: Connection, frame: Pushed): void {
    if (frame.type !== 'goAway') this.#events.pushed(connection, frame)
    else if (connection === this.#current) this.move(Math.min(frame.delayMs, frame.deadlineMs), false)
  }

  #ended(connection: Connection, ending: Ending): void {
    this.#events.detached(connection)
    if (connection !== this.#current) return
    this.#current = undefined
    this.#available = buildAvailable()
    this.#reconnector.ended(connection)
    if (this.#reconnector.isFinal(ending, true)) return this.#events.ended(ending)
    if (!this.#departing) return this.#depart({ after: ending })
    this.#hurry.abort()
    // In a hand-over the new login ends the old connection; its answer is just not here yet.
    if (ending.error.code !== 'replaced' || !this.#reconnector.loggingIn) this.#waiting(ending, 0, 0)
  }

  #depart(departure: Departure): void {
    if (this.#departing) return
    this.#departing = true
    this.#departure.resolve(departure)
  }

  #waiting({ error, advice }: Ending, retryInMs: number, attempt: number): void {
    this.#lastFailure = error
    if (this.#current) return
    this.#offline = true
    const { code, message } = error
    this.#events.disconnected({ code, message, advice, retryInMs, attempt, error })
  }
}

function buildAvailable(): PromiseWithResolvers<Connection> {
  const available = Promise.withResolvers<Connection>()
  // Often nobody waits for it.
  available.promise.catch(() => {})
  return available
}
