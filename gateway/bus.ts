import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  connect,
  ErrorCode,
  Events,
  type ConnectionOptions,
  type NatsConnection,
  type NatsError,
  type Subscription,
} from 'nats'
import { decodeBusRecords, encodeBusRecord, type BusRecord } from './bus-record.ts'
import { GatewayError } from './errors.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import type { GatewaySettings } from './settings.ts'
import type { Troubles } from './troubles.ts'

const CONNECT_TIMEOUT_MS = 2_000
const RECONNECT_WAIT_MS = 250
/** A server that answers no ping for twice this is given up. */
const PING_MS = 2_000
const PROBE_MS = 1_000
/** How old the last returned probe may be for the bus to count as working. */
const PROBE_VALID_MS = 3_000
const DRAIN_TIMEOUT_MS = 2_000
/** What a record adds to its frame at most, but for a transient one that has been to very many gateways. */
const RECORD_BYTES = 2_048
/** A right that was refused counts as missing for so long: NATS does not say when it is granted. */
const FORBIDDEN_MS = 60_000

export interface BusEvents {
  /** A record from another broker, with the frame that it carries (empty when none). */
  record(record: BusRecord, frame: Uint8Array): void
  /** NATS is back: whatever was sent to this broker meanwhile is lost. */
  reconnected(): void
}

/** Nobody listens before `start`. */
const deaf: BusEvents = { record: () => undefined, reconnected: () => undefined }

/**
 * The message bus between brokers. Records for one broker within one turn of the event loop share one NATS message.
 *
 * While NATS is away nothing is queued, so that memory stays bounded: durable messages are in their streams, and every
 * broker that may have missed a push is told to compare heads (`sync`) once NATS is back.
 */
export class Bus implements AsyncDisposable {
  readonly #nats: NatsConnection
  readonly #settings: GatewaySettings
  readonly #metrics: Metrics
  readonly #troubles: Troubles
  readonly #logger: Logger
  #events = deaf
  readonly #subject: string
  readonly #pending = new Map<string, Buffer[]>()
  /** Brokers that were written to since the connection was made, or tried to be while it was down. */
  readonly #reached = new Set<string>()
  #subscription: Subscription | undefined
  #probeTimer: NodeJS.Timeout | undefined
  #flushing = false
  #connected = true
  #nonce = ''
  #probedAt = -Infinity

  private constructor(
    nats: NatsConnection,
    settings: GatewaySettings,
    metrics: Metrics,
    troubles: Troubles,
    logger: Logger,
  ) {
    this.#nats = nats
    this.#settings = settings
    this.#metrics = metrics
    this.#troubles = troubles
    this.#logger = logger
    this.#subject = this.#subjectOf(settings.brokerId)
    metrics.natsUp.set(1)
    void this.#watch()
  }

  /**
   * Connects.
   *
   * @throws GatewayError NATS_UNREACHABLE when no server answers in time; at once NATS_REFUSED when one refuses the
   *   credentials, and NATS_WITHOUT_TLS when it offers none and must; the reason of `stop`
   */
  static async connect(
    settings: GatewaySettings,
    metrics: Metrics,
    troubles: Troubles,
    logger: Logger,
    timeoutMs: number,
    stop: AbortSignal,
  ): Promise<Bus> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      try {
        return new Bus(await connect(buildOptions(settings)), settings, metrics, troubles, logger)
      } catch (cause) {
        if (isRefusal(cause)) {
          const message = 'NATS refuses the credentials; check IM_NATS_USER and IM_NATS_PASSWORD, or IM_NATS_TOKEN'
          throw new GatewayError('NATS_REFUSED', message, { cause, retryable: false })
        }
        if (hasCode(cause, ErrorCode.ServerOptionNotAvailable)) {
          const message = 'NATS offers no TLS, which tls:// asks for; set it up there, or correct IM_NATS_SERVERS'
          throw new GatewayError('NATS_WITHOUT_TLS', message, { cause, retryable: false })
        }
        const message = `no NATS server answers at ${settings.natsServers.map(withoutCredentials).join(', ')}; check IM_NATS_SERVERS`
        logger.warn({ err: cause }, message)
        if (performance.now() > deadline)
          throw new GatewayError('NATS_UNREACHABLE', message, { cause, retryable: true })
        await delay(2 * RECONNECT_WAIT_MS, undefined, { signal: stop })
      }
    }
  }

  /**
   * Subscribes to `broker.<own id>`.
   *
   * @throws GatewayError NATS_FORBIDDEN when NATS refuses the right to that, or to publish there
   */
  async start(events: BusEvents): Promise<void> {
    this.#events = events
    this.#probe()
    this.#probeTimer = setInterval(() => this.#probe(), PROBE_MS)
    // A refusal comes before the answer to what is sent after it; its event a turn later.
    await Promise.race([this.#nats.flush().catch(() => undefined), delay(PROBE_MS)])
    await delay(0)
    const refusal = this.#troubles.get('NatsForbidden')
    if (refusal !== undefined) throw new GatewayError('NATS_FORBIDDEN', refusal, { retryable: false })
  }

  /** Whether a message to this broker's own subject came back lately. */
  get working(): boolean {
    return this.#connected && performance.now() - this.#probedAt < PROBE_VALID_MS
  }

  /**
   * Sends a record to another broker at the end of this turn. Lost when NATS is away, or takes none so long; returns whether it
   * was not. Of a push that is too long the receiver learns that the stream has moved.
   */
  publish(brokerId: string, record: BusRecord, frame?: Uint8Array): boolean {
    this.#reached.add(brokerId)
    if (!this.#connected) {
      this.#metrics.busDropped.inc({ type: record.type })
      return false
    }
    const bytes = encodeBusRecord(record, frame)
    if (bytes.length > this.#maxBytes) {
      if (record.type === 'push') return this.publish(brokerId, { ...record, type: 'head' })
      this.#metrics.busDropped.inc({ type: record.type })
      return false
    }
    this.#metrics.busRecords.inc({ type: record.type })
    const pending = this.#pending.get(brokerId)
    if (pending === undefined) this.#pending.set(brokerId, [bytes])
    else pending.push(bytes)
    if (!this.#flushing) {
      this.#flushing = true
      setImmediate(() => this.#flush())
    }
    return true
  }

  /** Sends what is pending, takes what is still coming, and leaves. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#probeTimer)
    this.#flush()
    const left = this.#connected ? this.#nats.drain() : this.#nats.close()
    await Promise.race([left.catch(() => undefined), delay(DRAIN_TIMEOUT_MS, undefined, { ref: false })])
    if (!this.#nats.isClosed()) await this.#nats.close()
  }

  #subjectOf(brokerId: string): string {
    return `${this.#settings.subjectPrefix}broker.${brokerId}`
  }

  /** The longest message that the server takes. */
  get #maxBytes(): number {
    return this.#nats.info?.max_payload ?? 1_048_576
  }

  #checkPayload(): void {
    const { maxFrameBytes } = this.#settings
    const needed = maxFrameBytes + RECORD_BYTES
    const message =
      `NATS takes ${this.#maxBytes} bytes at most (max_payload), and a frame of ${maxFrameBytes} (IM_MAX_FRAME_BYTES) may need ` +
      `${needed}: longer messages reach other gateways by way of Redis, transient ones do not; raise the one or lower the other`
    this.#troubles.report('NatsPayloadTooSmall', this.#maxBytes < needed ? message : undefined)
  }

  #flush(): void {
    this.#flushing = false
    // Half of what the server takes: room for what nats.js adds.
    const most = this.#maxBytes / 2
    for (const [brokerId, records] of this.#pending) {
      let size = 0
      let batch: Buffer[] = []
      for (const record of records) {
        if (size + record.length > most && batch.length > 0) {
          this.#send(brokerId, batch)
          batch = []
          size = 0
        }
        batch.push(record)
        size += record.length
      }
      this.#send(brokerId, batch)
    }
    this.#pending.clear()
  }

  #send(brokerId: string, records: Buffer[]): void {
    try {
      this.#nats.publish(this.#subjectOf(brokerId), records.length === 1 ? records[0] : Buffer.concat(records))
      this.#metrics.busPublished.inc()
    } catch (err) {
      this.#logger.error({ err, to: brokerId }, 'cannot publish')
    }
  }

  #received(bytes: Uint8Array): void {
    try {
      for (const [record, frame] of decodeBusRecords(bytes)) {
        if (record.type !== 'probe') this.#events.record(record, frame)
        else if (record.nonce === this.#nonce) this.#probedAt = performance.now()
      }
    } catch (err) {
      this.#metrics.busMalformed.inc()
      this.#logger.error({ err, bytes: bytes.length }, 'a message of another broker cannot be handled')
    }
  }

  #probe(): void {
    if (!this.#connected) return
    this.#checkPayload()
    // NATS ends a subscription whose right it refuses, also one that it had granted.
    if (this.#subscription?.isClosed() !== false) {
      this.#subscription = this.#nats.subscribe(this.#subject, {
        callback: (error, message) => (error === null ? this.#received(message.data) : this.#refused(error)),
      })
    }
    this.#nonce = randomUUID()
    this.#nats.publish(this.#subject, encodeBusRecord({ type: 'probe', nonce: this.#nonce }))
  }

  #refused({ message, permissionContext }: Pick<NatsError, 'message' | 'permissionContext'>): void {
    const { operation, subject } = permissionContext ?? {}
    const right = operation === 'publish' ? 'publish to' : 'subscribe to'
    const what = subject === undefined ? message : `${right} ${subject}`
    const needed = `it must publish to ${this.#subjectOf('*')} and subscribe to ${this.#subject}`
    // The first of several stands for all.
    const told = this.#troubles.get('NatsForbidden') ?? `NATS does not let this user ${what}; ${needed}`
    this.#troubles.report('NatsForbidden', told, FORBIDDEN_MS)
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nats.status()) {
      const { type, data } = status
      if (type === Events.Disconnect) {
        this.#connected = false
        this.#metrics.natsUp.set(0)
        this.#logger.warn('NATS is away')
      } else if (type === Events.Reconnect) {
        this.#connected = true
        this.#metrics.natsUp.set(1)
        this.#logger.info('NATS is back')
        this.#probe()
        // What was written shortly before the connection broke may be lost as well.
        const reached = [...this.#reached]
        this.#reached.clear()
        for (const brokerId of reached) this.publish(brokerId, { type: 'sync' })
        // After the round trip the server has the subscription again, so that nothing falls between it and the event.
        await this.#nats.flush().catch(() => undefined)
        this.#events.reconnected()
      } else if (type === Events.Error && data === ErrorCode.PermissionsViolation) {
        this.#refused({ message: data, ...status })
      } else if (type === Events.Error) {
        this.#logger.error({ reason: data }, 'NATS reports an error')
      }
    }
  }
}

function buildOptions(settings: GatewaySettings): ConnectionOptions {
  const options: ConnectionOptions = {
    servers: [...settings.natsServers],
    name: `im-gateway ${settings.brokerId}`,
    timeout: CONNECT_TIMEOUT_MS,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_WAIT_MS,
    pingInterval: PING_MS,
    maxPingOut: 2,
    ignoreAuthErrorAbort: true,
  }
  if (settings.natsUser !== '') Object.assign(options, { user: settings.natsUser, pass: settings.natsPassword })
  if (settings.natsToken !== '') options.token = settings.natsToken
  // Before the credentials leave, and also of servers that others name.
  if (settings.natsServers.some((server) => /^tls:/i.test(server))) options.tls = {}
  return options
}

function isRefusal(error: unknown): boolean {
  return hasCode(error, ErrorCode.AuthorizationViolation) || hasCode(error, ErrorCode.BadAuthentication)
}

function hasCode(error: unknown, wanted: ErrorCode): boolean {
  const { code } = error as { code?: unknown }
  return code === wanted
}

function withoutCredentials(server: string): string {
  return server.replace(/\/\/[^@/]*@/, '//')
}
