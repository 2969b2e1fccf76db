import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, DebugEvents, ErrorCode, Events, type ConnectionOptions, type NatsConnection } from 'nats'
import { decodeBusRecords, encodeBusRecord, type BusRecord } from './bus-record.ts'
import { GatewayError } from './errors.ts'
import type { Logger } from './logger.ts'
import type { MemoryAccount, MemoryBudget } from './memory-budget.ts'
import type { Metrics } from './metrics.ts'
import type { GatewaySettings } from './settings.ts'

const CONNECT_TIMEOUT_MS = 2_000
const RECONNECT_WAIT_MS = 250
/** A server that answers no ping for twice this is given up. */
const PING_MS = 2_000
const PROBE_MS = 1_000
/** How old the last returned probe may be for the bus to count as working. */
const PROBE_VALID_MS = 3_000
const DRAIN_TIMEOUT_MS = 2_000
/** Of the gateway's free memory, what may be handed to NATS and not be known to have arrived. */
const SHARE = 1 / 2
/** More than this unconfirmed is asked about at once; less is confirmed by the next probe. */
const CONFIRM_BYTES = 65_536
/** What a record holds besides its frame. */
const RECORD_BYTES = 256

export interface BusEvents {
  /** A record from another broker, with the frame that it carries (empty when none). */
  record(record: BusRecord, frame: Uint8Array): void
  /** NATS is back: whatever was sent to this broker meanwhile is lost. */
  reconnected(): void
}

/** Why a record was not sent. */
export type Lost = 'bus_away' | 'memory'

/** Nobody listens before `start`. */
const deaf: BusEvents = { record: () => undefined, reconnected: () => undefined }

/**
 * The message bus between brokers. Records for one broker within one turn of the event loop share one NATS message.
 *
 * While NATS is away nothing is queued, and while it does not take what it is given only as much as the memory budget
 * allows: durable messages are in their streams, and every broker that may have missed a push is told to compare heads
 * (`sync`) once NATS is back, or takes again.
 */
export class Bus implements AsyncDisposable {
  #nats: NatsConnection
  readonly #memory: MemoryAccount
  readonly #settings: GatewaySettings
  readonly #metrics: Metrics
  readonly #logger: Logger
  #events = deaf
  readonly #subject: string
  readonly #pending = new Map<string, Buffer[]>()
  /** Brokers that were written to since the connection was made, or tried to be while it was down. */
  readonly #reached = new Set<string>()
  /** Brokers for which a push was left to the inbox because too much was unconfirmed. */
  readonly #leftOut = new Set<string>()
  /** Bytes handed to NATS since the start, and how far they are known to have arrived, or to be lost. */
  #published = 0
  #confirmed = 0
  #publishedAtProbe = 0
  #confirming = false
  readonly #stopped = new AbortController()
  #probeTimer: NodeJS.Timeout | undefined
  #flushing = false
  #connected = true
  #nonce = ''
  #probedAt = -Infinity

  private constructor(
    nats: NatsConnection,
    settings: GatewaySettings,
    memory: MemoryBudget,
    metrics: Metrics,
    logger: Logger,
  ) {
    this.#nats = nats
    this.#memory = memory.openAccount(SHARE)
    this.#settings = settings
    this.#metrics = metrics
    this.#logger = logger
    this.#subject = this.#subjectOf(settings.brokerId)
    metrics.natsUp.set(1)
    void this.#watch(nats)
  }

  /**
   * Connects.
   *
   * @throws GatewayError NATS_UNREACHABLE when no server answers in time, NATS_REFUSED at once when one refuses the
   *   credentials; the reason of `stop`
   */
  static async connect(
    settings: GatewaySettings,
    memory: MemoryBudget,
    metrics: Metrics,
    logger: Logger,
    timeoutMs: number,
    stop: AbortSignal,
  ): Promise<Bus> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      try {
        return new Bus(await connect(buildOptions(settings)), settings, memory, metrics, logger)
      } catch (cause) {
        if (isRefusal(cause)) {
          const message = 'NATS refuses the credentials; check IM_NATS_USER and IM_NATS_PASSWORD, or IM_NATS_TOKEN'
          throw new GatewayError('NATS_REFUSED', message, { cause, retryable: false })
        }
        const message = `no NATS server answers at ${settings.natsServers.map(withoutCredentials).join(', ')}; check IM_NATS_SERVERS`
        logger.warn({ err: cause }, message)
        if (performance.now() > deadline)
          throw new GatewayError('NATS_UNREACHABLE', message, { cause, retryable: true })
        await delay(2 * RECONNECT_WAIT_MS, undefined, { signal: stop })
      }
    }
  }

  /** Subscribes to `broker.<own id>`. */
  start(events: BusEvents): void {
    this.#events = events
    this.#subscribe()
    this.#probe()
    this.#probeTimer = setInterval(() => this.#probe(), PROBE_MS)
  }

  /** Whether a message to this broker's own subject came back lately. */
  get working(): boolean {
    return this.#connected && performance.now() - this.#probedAt < PROBE_VALID_MS
  }

  /**
   * Sends a record to another broker at the end of this turn. Lost when NATS is away, or does not take what it is given;
   * returns which, or undefined when it was neither.
   */
  publish(brokerId: string, record: BusRecord, frame?: Uint8Array): Lost | undefined {
    this.#reached.add(brokerId)
    if (!this.#connected) {
      this.#metrics.busDropped.inc({ type: record.type })
      return 'bus_away'
    }
    // Only what carries a frame grows without bound: there are few of the others, and they mend what was lost.
    if (frame !== undefined && this.#memory.room('in') < frame.length + RECORD_BYTES) {
      if (record.type === 'push') {
        if (this.#leftOut.size === 0) {
          const unconfirmedBytes = this.#published - this.#confirmed
          this.#logger.warn({ unconfirmedBytes }, 'NATS does not take what it is given: pushes are left to the inbox')
        }
        this.#leftOut.add(brokerId)
        this.#metrics.leftToInbox.inc({ by: 'bus' })
      }
      return 'memory'
    }
    this.#metrics.busRecords.inc({ type: record.type })
    const bytes = encodeBusRecord(record, frame)
    this.#published += bytes.length
    this.#memory.charge('bus', bytes.length)
    const pending = this.#pending.get(brokerId)
    if (pending === undefined) this.#pending.set(brokerId, [bytes])
    else pending.push(bytes)
    if (!this.#flushing) {
      this.#flushing = true
      setImmediate(() => this.#flush())
    }
    return undefined
  }

  /** Sends what is pending, takes what is still coming, and leaves. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#probeTimer)
    this.#stopped.abort()
    this.#flush()
    const left = this.#connected ? this.#nats.drain() : this.#nats.close()
    await Promise.race([left.catch(() => undefined), delay(DRAIN_TIMEOUT_MS, undefined, { ref: false })])
    if (!this.#nats.isClosed()) await this.#nats.close()
  }

  #subjectOf(brokerId: string): string {
    return `${this.#settings.subjectPrefix}broker.${brokerId}`
  }

  #flush(): void {
    this.#flushing = false
    if (!this.#connected) this.#pending.clear()
    // Half of what the server takes: room for what nats.js adds.
    const most = (this.#nats.info?.max_payload ?? 1_048_576) / 2
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
    if (this.#published - this.#confirmed > CONFIRM_BYTES) this.#confirm()
  }

  /** Learns, by one round trip at a time, how far what was published has arrived. */
  #confirm(): void {
    if (this.#confirming || !this.#connected) return
    this.#confirming = true
    const nats = this.#nats
    const upTo = this.#published
    nats
      .flush()
      .then(() => this.#arrived(upTo))
      // The connection broke: its end tells what follows.
      .catch(() => undefined)
      .finally(() => {
        if (nats === this.#nats) this.#confirming = false
      })
  }

  /** What was published up to there has arrived at the server, or is lost. */
  #arrived(upTo: number): void {
    if (upTo <= this.#confirmed) return
    this.#memory.charge('bus', this.#confirmed - upTo)
    this.#confirmed = upTo
  }

  /** Tells brokers to compare heads: pushes for them were lost, or left out. */
  #tellToSync(brokerIds: Set<string>): void {
    const told = [...brokerIds]
    brokerIds.clear()
    for (const brokerId of told) this.publish(brokerId, { type: 'sync' })
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
        else if (record.nonce === this.#nonce) this.#probeReturned()
      }
    } catch (err) {
      this.#metrics.busMalformed.inc()
      this.#logger.error({ err, bytes: bytes.length }, 'a message of another broker cannot be handled')
    }
  }

  #subscribe(): void {
    this.#nats.subscribe(this.#subject, { callback: (_error, message) => this.#received(message.data) })
  }

  #probe(): void {
    if (!this.#connected) return
    this.#flush()
    this.#nonce = randomUUID()
    this.#publishedAtProbe = this.#published
    this.#nats.publish(this.#subject, encodeBusRecord({ type: 'probe', nonce: this.#nonce }))
  }

  /** The server has taken all that was published before the probe. */
  #probeReturned(): void {
    this.#probedAt = performance.now()
    this.#arrived(this.#publishedAtProbe)
    if (this.#leftOut.size > 0 && this.#memory.room('in') > 0) this.#tellToSync(this.#leftOut)
  }

  async #watch(nats: NatsConnection): Promise<void> {
    for await (const { type, data } of nats.status()) {
      if (type === Events.Disconnect) this.#away()
      else if (type === Events.Reconnect) await this.#back()
      // What else this connection tells is of no interest any more.
      else if (type === DebugEvents.StaleConnection) return await this.#replace(nats)
      else if (type === Events.Error) this.#logger.error({ reason: data }, 'NATS reports an error')
    }
  }

  #away(): void {
    // What was not confirmed is lost, and no longer held.
    this.#arrived(this.#published)
    if (!this.#connected) return
    this.#connected = false
    this.#metrics.natsUp.set(0)
    this.#logger.warn('NATS is away')
  }

  async #back(): Promise<void> {
    this.#connected = true
    this.#metrics.natsUp.set(1)
    this.#logger.info('NATS is back')
    this.#probe()
    // What was written shortly before the connection broke may be lost as well.
    this.#leftOut.clear()
    this.#tellToSync(this.#reached)
    // After the round trip the server has the subscription again, so that nothing falls between it and the event.
    await this.#nats.flush().catch(() => undefined)
    this.#events.reconnected()
  }

  /**
   * Gives up a server that answers no pings. nats.js would first wait until it has taken what it was given, which one that
   * stands still never does; till then the memory is held, and no other server is tried.
   */
  async #replace(stale: NatsConnection): Promise<void> {
    await stale.close()
    this.#away()
    while (!this.#stopped.signal.aborted) {
      try {
        const fresh = await connect(buildOptions(this.#settings))
        if (this.#stopped.signal.aborted) return await fresh.close()
        this.#nats = fresh
        this.#confirming = false
        this.#subscribe()
        void this.#watch(fresh)
        return await this.#back()
      } catch (err) {
        this.#logger.debug({ err }, 'NATS cannot be reached; trying again')
        await delay(2 * RECONNECT_WAIT_MS, undefined, { signal: this.#stopped.signal }).catch(() => undefined)
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
  return options
}

function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return code === ErrorCode.AuthorizationViolation || code === ErrorCode.BadAuthentication
}

function withoutCredentials(server: string): string {
  return server.replace(/\/\/[^@/]*@/, '//')
}
