import { limits, type FrameOf } from '../protocol/frames.ts'
import { Acks } from './acks.ts'
import { Backoff } from './backoff.ts'
import type { Connection, Pushed } from './connection.ts'
import { Delivery } from './delivery.ts'
import { Emitter, throwLater } from './emitter.ts'
import { buildGatewayError, buildLocalEnding, buildLocalError, ClientError, type Ending } from './errors.ts'
import type { ClientEvents, Closed } from './events.ts'
import { Inbox, INBOX } from './inbox.ts'
import { ConnectionKeeper } from './connection-keeper.ts'
import { streamMessages } from './message-stream.ts'
import type { Cursor, Message } from './message.ts'
import { parseOptions, parseSendTimeout, type ClientOptions, type ParsedOptions } from './options.ts'
import { Outbox, type SendOptions, type Sent } from './outbox.ts'
import { sleep } from './timing.ts'
import { Tokens } from './tokens.ts'
import type { OpenTransport } from './transport.ts'

const REQUEST_TIMEOUT_MS = 10_000
const READY_TIMEOUT_MS = 30_000
const LOGOUT_TIMEOUT_MS = 2_000

const encoder = new TextEncoder()

/** How long a request may take, and what breaks it off. */
export interface RequestOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/**
 * One device's life across connections: it logs in, stays logged in, sends, and hands every message to the application
 * once and in order. Events: see ClientEvents.
 */
export class Client implements AsyncDisposable {
  readonly #options: ParsedOptions
  readonly #emitter = new Emitter<ClientEvents>()
  readonly #tokens: Tokens
  readonly #connections: ConnectionKeeper
  readonly #delivery: Delivery
  readonly #inbox: Inbox
  readonly #acks: Acks
  readonly #outbox: Outbox
  readonly #closed = Promise.withResolvers<Closed>()
  #final: Closed | undefined
  #iterated = false

  /**
   * Begins to connect. Applications use `connect` of the entry for their platform.
   *
   * @param openTransports by URL scheme
   * @throws ClientError `option_invalid`
   */
  constructor(options: ClientOptions, openTransports: Readonly<Record<string, OpenTransport>>) {
    this.#options = parseOptions(options, Object.keys(openTransports))
    const { ack, ackDelayMs, ackEvery, cursor } = this.#options
    this.#tokens = new Tokens(this.#options.token, this.#options.connectTimeoutMs, {
      renew: (token) => this.#renew(token),
      failed: (error) => this.#emitter.emit('error', error),
    })
    this.#delivery = new Delivery(ack === 'manual', this.#options, {
      gap: (gap) => this.#emitter.emit('gap', gap),
      handled: () => this.#acks.moved(),
      room: () => this.#resumeStalled(),
    })
    this.#acks = new Acks(
      ackDelayMs,
      ackEvery,
      () => (ack === 'none' ? undefined : this.#ackable()),
      (position) => this.#connections.current?.post({ type: 'ack', stream: INBOX, ...position }),
    )
    this.#inbox = new Inbox(cursor, this.#delivery, {
      broken: (source) => {
        const ending = buildLocalEnding('protocol_violation', 'a message is missing')
        if (source === this.#connections.current) this.#connections.distrust(ending)
      },
      repeated: () => this.#acks.moved(),
    })
    this.#outbox = new Outbox(this.#options, () => this.#connections.lastFailure)
    this.#connections = this.#buildConnectionKeeper(openTransports)
    this.#connections.start()
    if (options.signal) this.#closeWith(options.signal)
  }

  /** Whether there is a connection that is logged in. */
  get connected(): boolean {
    return this.#connections.current !== undefined
  }

  /**
   * How far the application has handled its inbox; undefined before the first login. Where the next client of this device is
   * to go on, if the application would rather store that itself than leave it to the cluster.
   */
  get cursor(): Cursor | undefined {
    return this.#delivery.position
  }

  /** Resolves, and never rejects, when the client is done for good. */
  get closed(): Promise<Closed> {
    return this.#closed.promise
  }

  /**
   * Adds a listener and returns how to remove it. A listener for `message` may return a promise: the next message waits for it.
   *
   * @throws ClientError `consumer_taken` for `message` while `messages()` is in use
   */
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => unknown): () => void {
    if (name === 'message' && this.#iterated) throw buildLocalError('consumer_taken')
    this.#emitter.on(name, listener)
    if (name === 'message') this.#delivery.consume((message) => this.#handToListeners(message))
    return () => this.off(name, listener)
  }

  off<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => unknown): void {
    this.#emitter.off(name, listener)
    if (name === 'message' && !this.#iterated && this.#emitter.count('message') === 0) this.#delivery.consume(undefined)
  }

  /**
   * The messages, one at a time; a message counts as handled when the next one is asked for. Ends when the client is closed, and
   * throws the ClientError with which a gateway ended it. Leaving the loop leaves the last message unhandled unless its `ack()`
   * was called.
   *
   * @throws ClientError `consumer_taken` when there are listeners for `message`, or another iterator
   */
  messages(): AsyncGenerator<Message, void, undefined> {
    if (this.#iterated || this.#emitter.count('message') > 0) throw buildLocalError('consumer_taken')
    this.#iterated = true
    return streamMessages(this.#delivery, this.#closed.promise, () => {
      this.#iterated = false
    })
  }

  /**
   * Resolves when there is a connection that is logged in. `timeoutMs`: 30 000 by default.
   *
   * @throws ClientError `request_timeout`, `aborted`, or the code with which the client was closed
   */
  async ready({ timeoutMs = READY_TIMEOUT_MS, signal }: RequestOptions = {}): Promise<void> {
    await this.#connections.connection(timeoutMs, signal)
  }

  /**
   * Sends a message; resolves when a gateway has accepted it. While there is no connection, and when a gateway says "try again",
   * it is tried again with the same messageId until the deadline. A transient message (`durable: false`) leaves at most once.
   *
   * @throws ClientError: a gateway's code (`recipient_invalid`, `payload_too_large`, …), `send_timeout`, `aborted`,
   *   `queue_full`, `closed`, `option_invalid`. Its `outcome` says whether the message may have been accepted.
   */
  async send(to: string, payload: string | Uint8Array, options: SendOptions = {}): Promise<Sent> {
    const { durable = true, messageId = buildMessageId(), signal } = options
    const timeoutMs = parseSendTimeout(options.timeoutMs ?? this.#options.sendTimeoutMs)
    // A copy: the caller may write to its array again before the message leaves.
    const bytes = typeof payload === 'string' ? encoder.encode(payload) : payload.slice()
    return this.#outbox.send({ messageId, to, durable, payload: bytes }, timeoutMs, signal)
  }

  /**
   * The classes of devices that each user is online with; none for a user who is offline. `timeoutMs`: 10 000 by default.
   *
   * @throws ClientError: a gateway's code, `request_timeout`, `aborted`, or the code with which the client was closed
   */
  async presence(userIds: readonly string[], options: RequestOptions = {}): Promise<Map<string, readonly number[]>> {
    const deadline = Date.now() + (options.timeoutMs ?? REQUEST_TIMEOUT_MS)
    const found = new Map<string, readonly number[]>(userIds.map((userId) => [userId, []]))
    for (let at = 0; at < userIds.length; at += limits.presenceUsers) {
      const some = userIds.slice(at, at + limits.presenceUsers)
      const { users } = await this.#askPresence(some, deadline, options.signal)
      for (const { userId, clientTypes } of users) found.set(userId, clientTypes)
    }
    return found
  }

  /**
   * Closes for good: acknowledges what was handled, rejects sends that are not answered, and ends the connection. With `logout`
   * the cluster forgets the session; the inbox stays. Resolves when all is gone, after some seconds at the latest.
   */
  async close({ logout = false }: { logout?: boolean } = {}): Promise<void> {
    if (this.#final) return void (await this.#closed.promise)
    this.#final = buildClosed(buildLocalEnding('closed'), 'client')
    this.#delivery.stop()
    // A listener that closes the client has handled its message when it returns.
    await Promise.resolve()
    this.#acks.flush()
    this.#outbox.stop(this.#final.error)
    if (logout) await this.#logout()
    await this.#shutDown(this.#final)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #buildConnectionKeeper(openTransports: Readonly<Record<string, OpenTransport>>): ConnectionKeeper {
    const openTransport: OpenTransport = (url, events) => {
      const open = openTransports[url.protocol.slice(0, -1)]
      if (open === undefined) throw buildLocalError('option_invalid', `no transport for ${url.protocol}`)
      return open(url, events)
    }
    return new ConnectionKeeper(this.#options, openTransport, this.#tokens, {
      buildLogin: (token) => this.#buildLogin(token),
      attached: (connection, handOver) => this.#attached(connection, handOver),
      detached: (connection) => this.#detached(connection),
      pushed: (connection, frame) => this.#pushed(connection, frame),
      disconnected: (event) => this.#final ?? this.#emitter.emit('disconnected', event),
      ended: (ending) => this.#finish(ending),
      drained: (connection) => this.#outbox.drained(connection),
    })
  }

  #closeWith(signal: AbortSignal): void {
    const onAbort = () => void this.close()
    signal.addEventListener('abort', onAbort)
    void this.#closed.promise.then(() => signal.removeEventListener('abort', onAbort))
    if (signal.aborted) onAbort()
  }

  #buildLogin(token: string): Omit<FrameOf<'login'>, 'type' | 'requestId'> {
    const { clientType, imei, version, start } = this.#options
    const { epoch, seq } = this.#inbox.cursor ?? { epoch: '', seq: 0 }
    return { token, clientType, imei, version, start, epoch, seq }
  }

  #attached(connection: Connection, handOver: boolean): void {
    const { brokerId, connectionId, appId, userId, expiresAt, epoch, seq } = connection.session
    this.#tokens.expiresAt(expiresAt)
    this.#inbox.attach(connection)
    // A login that named a cursor says nothing of what the cluster has on record as handled.
    this.#acks.attach(connection.resumedEpoch === '' ? { epoch, seq } : undefined)
    this.#outbox.attach(connection)
    this.#emitter.emit('connected', { url: connection.url.href, brokerId, connectionId, appId, userId, handOver })
  }

  #detached(connection: Connection): void {
    this.#outbox.detach(connection)
    if (connection === this.#connections.current) this.#tokens.pause()
  }

  #pushed(connection: Connection, frame: Exclude<Pushed, { type: 'goAway' }>): void {
    switch (frame.type) {
      case 'message':
        return this.#inbox.message(connection, frame)
      case 'gap':
        return this.#inbox.gap(connection, frame)
      case 'notice': {
        const { event, clientType, imei } = frame
        // A hand-over joins and leaves too, as this very device.
        const own = clientType === this.#options.clientType && imei === this.#options.imei
        if (!own) this.#emitter.emit('notice', { event, clientType, imei })
        return
      }
      case 'error':
        this.#emitter.emit('error', buildGatewayError(frame.code, frame.message))
    }
  }

  #resumeStalled(): void {
    const { current } = this.#connections
    if (current && this.#inbox.isStalled(current)) this.#connections.move(0, true)
  }

  #handToListeners(message: Message): boolean | Promise<boolean> {
    let handled = true
    const failed = (error: unknown) => {
      // As everywhere, an exception that nobody listens for is one that nobody caught; the message then stays unhandled.
      if (this.#emitter.count('error') === 0) {
        handled = false
        throwLater(error)
      } else this.#emitter.emit('error', error instanceof Error ? error : new Error(String(error)))
    }
    const pending = this.#emitter.emit('message', message, failed).filter((result) => result instanceof Promise)
    if (pending.length === 0) return handled
    return Promise.all(pending.map((result: Promise<unknown>) => result.catch(failed))).then(() => handled)
  }

  #ackable(): Cursor | undefined {
    const { current } = this.#connections
    return current && this.cursor && this.#inbox.limitTo(current, this.cursor)
  }

  async #renew(token: string): Promise<number> {
    const connection = await this.#connections.connection(REQUEST_TIMEOUT_MS)
    const request = connection.request('renew', { token })
    try {
      return (await this.#connections.inTime(request.reply, REQUEST_TIMEOUT_MS)).expiresAt
    } finally {
      request.forget()
    }
  }

  async #askPresence(
    userIds: readonly string[],
    deadline: number,
    signal?: AbortSignal,
  ): Promise<FrameOf<'presenceState'>> {
    const backoff = new Backoff(this.#options.backoffBaseMs, this.#options.backoffCapMs)
    for (;;) {
      const connection = await this.#connections.connection(deadline - Date.now(), signal)
      try {
        const request = connection.request('presence', { userIds })
        try {
          return await this.#connections.inTime(request.reply, deadline - Date.now(), signal)
        } finally {
          request.forget()
        }
      } catch (error) {
        const again =
          error instanceof ClientError && (error.code === 'connection_lost' || (error.number && error.retryable))
        if (!again) throw error
        await sleep(Math.min(backoff.next(), deadline - Date.now()), signal ?? new AbortController().signal)
      }
    }
  }

  async #logout(): Promise<void> {
    const { current } = this.#connections
    if (!current) return
    const patience = new AbortController()
    current.post({ type: 'logout', requestId: 0 })
    await Promise.race([current.gone, sleep(LOGOUT_TIMEOUT_MS, patience.signal)])
    patience.abort()
  }

  #finish(ending: Ending): void {
    if (this.#final) return
    this.#final = buildClosed(ending, 'gateway')
    this.#delivery.stop()
    this.#acks.flush()
    this.#outbox.stop(this.#final.error)
    void this.#shutDown(this.#final)
  }

  async #shutDown(final: Closed): Promise<void> {
    this.#tokens.stop()
    this.#acks.stop()
    await this.#connections.close(final.error)
    this.#closed.resolve(final)
    this.#emitter.emit('closed', final)
  }
}

function buildClosed({ error, clientType }: Ending, by: Closed['by']): Closed {
  return { code: error.code, message: error.message, by, clientType, error }
}

/** 16 random bytes in hex; `crypto.randomUUID` is missing on pages that came over plain HTTP. */
function buildMessageId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
