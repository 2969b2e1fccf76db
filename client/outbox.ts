import type { FrameOf } from '../protocol/frames.ts'
import { Backoff } from './backoff.ts'
import type { Request } from './connection.ts'
import { buildLocalError, ClientError } from './errors.ts'

export interface SendOptions {
  /** False for a message that is only pushed to whoever is online, and never kept. */
  readonly durable?: boolean
  /** Of the message, 1 to 64 bytes; a random one by default. The same one again makes no second message. */
  readonly messageId?: string
  /** How long to keep trying, in milliseconds. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** What the gateway said about a message that it took. `seq` is 0 for a transient one. */
export interface Sent {
  readonly messageId: string
  readonly seq: number
  /** Milliseconds since 1970. */
  readonly sentAt: number
  /** It had been accepted before, and was not taken a second time. */
  readonly duplicate: boolean
}

/** A connection, as far as sends go. */
export interface Wire {
  request(
    type: 'send',
    fields: Omit<FrameOf<'send'>, 'type' | 'requestId'>,
  ): Request<Pick<FrameOf<'accepted'>, 'seq' | 'sentAt' | 'duplicate'>>
}

export interface OutboxLimits {
  readonly maxInFlight: number
  readonly maxQueuedSends: number
  readonly maxQueuedBytes: number
  readonly backoffBaseMs: number
  readonly backoffCapMs: number
}

interface Entry {
  readonly order: number
  readonly fields: Omit<FrameOf<'send'>, 'type' | 'requestId'>
  readonly timeoutMs: number
  readonly resolve: (sent: Sent) => void
  readonly reject: (error: ClientError) => void
  readonly backoff: Backoff
  /** Takes back the deadline and the listener for the abort signal. */
  release: () => void
  wire: Wire | undefined
  request: Request<unknown> | undefined
  /** It left at least once, so a gateway may have taken it. */
  written: boolean
  lastError: ClientError | undefined
}

/**
 * Sends that are not answered yet. A durable one is repeated with its messageId, over whatever connection there is, until it is
 * answered or its deadline passes; a transient one leaves at most once. Sends to one recipient leave in their order.
 */
export class Outbox {
  readonly #limits: OutboxLimits
  readonly #whyAway: () => ClientError | undefined
  /** In the order of the calls. */
  readonly #waiting: Entry[] = []
  readonly #inFlight = new Set<Entry>()
  /** Recipients whose sends wait because one of them was refused for now. */
  readonly #resting = new Map<string, ReturnType<typeof setTimeout>>()
  readonly #drained = new Map<Wire, () => void>()
  #wire: Wire | undefined
  #bytes = 0
  #calls = 0
  #stopped: ClientError | undefined

  /** `whyAway`: why there is no connection, for the error of a send that could not leave. */
  constructor(limits: OutboxLimits, whyAway: () => ClientError | undefined) {
    this.#limits = limits
    this.#whyAway = whyAway
  }

  /** Rejects with a ClientError whose `outcome` says what is known. */
  send(fields: Omit<FrameOf<'send'>, 'type' | 'requestId'>, timeoutMs: number, signal?: AbortSignal): Promise<Sent> {
    const refusal = this.#refusal(fields.payload.length, signal)
    if (refusal) return Promise.reject(refusal)
    const { promise, resolve, reject } = Promise.withResolvers<Sent>()
    const backoff = new Backoff(this.#limits.backoffBaseMs, this.#limits.backoffCapMs)
    this.#calls += 1
    const entry: Entry = {
      order: this.#calls,
      fields,
      timeoutMs,
      resolve,
      reject,
      backoff,
      release: () => {},
      wire: undefined,
      request: undefined,
      written: false,
      lastError: undefined,
    }
    const timer = setTimeout(() => this.#expire(entry), timeoutMs)
    const onAbort = () => this.#fail(entry, 'aborted', '', signal?.reason)
    signal?.addEventListener('abort', onAbort)
    entry.release = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
    this.#bytes += fields.payload.length
    this.#waiting.push(entry)
    this.#flush()
    return promise
  }

  /** From now on sends leave over this connection. Recipients with sends in flight on another one wait for those first. */
  attach(wire: Wire): void {
    this.#wire = wire
    this.#flush()
  }

  /** The connection ended; what was in flight on it comes back by itself. */
  detach(wire: Wire): void {
    if (this.#wire === wire) this.#wire = undefined
  }

  /** Resolves when nothing is in flight on the connection. */
  drained(wire: Wire): Promise<void> {
    return new Promise((resolve) => {
      this.#drained.set(wire, resolve)
      this.#checkDrained(wire)
    })
  }

  /** Rejects everything with `error`'s code, now and later. */
  stop(error: ClientError): void {
    this.#stopped = error
    for (const timer of this.#resting.values()) clearTimeout(timer)
    this.#resting.clear()
    for (const entry of [...this.#inFlight, ...this.#waiting]) this.#settle(entry, this.#describeStop(entry, error))
  }

  #refusal(bytes: number, signal: AbortSignal | undefined): ClientError | undefined {
    const { maxInFlight, maxQueuedSends, maxQueuedBytes } = this.#limits
    if (this.#stopped) return copyError(this.#stopped, 'not-sent')
    if (signal?.aborted) return buildLocalError('aborted', '', { cause: signal.reason, outcome: 'not-sent' })
    const count = this.#waiting.length + this.#inFlight.size
    if (count < maxInFlight + maxQueuedSends && (count === 0 || this.#bytes + bytes <= maxQueuedBytes)) return undefined
    return buildLocalError('queue_full', `${count} sends, ${this.#bytes} bytes`, { outcome: 'not-sent' })
  }

  #flush(): void {
    const wire = this.#wire
    if (wire === undefined || this.#waiting.length === 0) return
    const held = new Set<string>()
    for (const entry of this.#inFlight) if (entry.wire !== wire) held.add(entry.fields.to)
    for (let at = 0; at < this.#waiting.length && this.#inFlight.size < this.#limits.maxInFlight;) {
      const entry = this.#waiting[at]
      if (entry === undefined) return
      if (held.has(entry.fields.to) || this.#resting.has(entry.fields.to)) {
        at += 1
        continue
      }
      this.#waiting.splice(at, 1)
      this.#write(entry, wire)
    }
  }

  #write(entry: Entry, wire: Wire): void {
    let request: ReturnType<Wire['request']>
    try {
      request = wire.request('send', entry.fields)
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      if (error.code === 'connection_lost') {
        this.detach(wire)
        this.#putBack(entry)
      } else {
        this.#settle(entry, copyError(error, entry.written ? 'unknown' : 'not-sent', entry.fields.messageId))
      }
      return
    }
    entry.wire = wire
    entry.request = request
    entry.written = true
    this.#inFlight.add(entry)
    request.reply.then(
      ({ seq, sentAt, duplicate }) => {
        this.#settle(entry, { messageId: entry.fields.messageId, seq, sentAt, duplicate })
      },
      (error: ClientError) => this.#refused(entry, error),
    )
  }

  #refused(entry: Entry, error: ClientError): void {
    if (!this.#inFlight.delete(entry)) return
    entry.lastError = error
    if (!error.retryable || !entry.fields.durable) {
      this.#settle(entry, copyError(error, error.outcome ?? 'unknown', entry.fields.messageId))
      return
    }
    if (error.code !== 'connection_lost') this.#rest(entry)
    this.#putBack(entry)
    this.#afterFlight(entry)
  }

  /** Later sends to the same recipient wait too, so that they do not overtake this one. */
  #rest(entry: Entry): void {
    const { to } = entry.fields
    if (this.#resting.has(to)) return
    const timer = setTimeout(() => {
      this.#resting.delete(to)
      this.#flush()
    }, entry.backoff.next())
    this.#resting.set(to, timer)
  }

  #putBack(entry: Entry): void {
    const at = this.#waiting.findIndex((other) => other.order > entry.order)
    this.#waiting.splice(at === -1 ? this.#waiting.length : at, 0, entry)
  }

  #expire(entry: Entry): void {
    if (entry.written) {
      const advice = 'whether it was accepted is unknown; sending it again with the same messageId is safe'
      const why = entry.lastError && `; the last try: ${entry.lastError.message}`
      this.#fail(entry, 'send_timeout', `${entry.timeoutMs} ms; ${advice}${why ?? ''}`, entry.lastError)
    } else {
      const why = this.#wire ? undefined : this.#whyAway()
      this.#fail(entry, 'send_timeout', `${entry.timeoutMs} ms; it was never sent${why ? `: ${why.message}` : ''}`, why)
    }
  }

  #fail(entry: Entry, code: 'aborted' | 'send_timeout', detail: string, cause: unknown): void {
    const error = buildLocalError(code, detail, cause === undefined ? {} : { cause })
    this.#settle(entry, copyError(error, entry.written ? 'unknown' : 'not-sent', entry.fields.messageId))
  }

  #describeStop(entry: Entry, error: ClientError): ClientError {
    return copyError(error, entry.written ? 'unknown' : 'not-sent', entry.fields.messageId)
  }

  #settle(entry: Entry, result: Sent | ClientError): void {
    entry.release()
    entry.request?.forget()
    this.#bytes -= entry.fields.payload.length
    const at = this.#waiting.indexOf(entry)
    if (at !== -1) this.#waiting.splice(at, 1)
    this.#inFlight.delete(entry)
    if (result instanceof ClientError) entry.reject(result)
    else entry.resolve(result)
    this.#afterFlight(entry)
  }

  #afterFlight(entry: Entry): void {
    if (entry.wire) this.#checkDrained(entry.wire)
    entry.wire = undefined
    this.#flush()
  }

  #checkDrained(wire: Wire): void {
    const resolve = this.#drained.get(wire)
    if (!resolve) return
    for (const entry of this.#inFlight) if (entry.wire === wire) return
    this.#drained.delete(wire)
    resolve()
  }
}

/** The same error with what is known of one message. */
function copyError(error: ClientError, outcome: NonNullable<ClientError['outcome']>, messageId?: string): ClientError {
  const { code, message, number, retryable } = error
  return new ClientError(code, message, { cause: error.cause ?? error, number, retryable, outcome, messageId })
}
