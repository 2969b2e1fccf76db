import { setTimeout as delay } from 'node:timers/promises'
import { DebugEvents, ErrorCode, Events, type NatsConnection, type NatsError, type Subscription } from 'nats'
import type { BusContext, BusEvents } from './bus-context.ts'
import { buildRoute, encodeHead, isBinaryMessage, readHead, readRecords } from './binary-message.ts'
import { isMissed, type BusRecord, type Place } from './bus-record.ts'
import { decodeJsonRecords } from './json-records.ts'
import type { Receiver } from './receiver.ts'
import { Receivers } from './receivers.ts'
import { describePayloadLimit } from './payload-limit.ts'
import { Senders } from './senders.ts'
import { atEndOfTurn } from '../../server/cork.ts'
import { GatewayError } from '../errors.ts'
import type { Logger } from '../logger.ts'
import type { MemoryAccount } from '../memory/memory-budget.ts'
import type { Metrics } from '../metrics.ts'
import { connectNats, isRefusal, NATS_REFUSES, reconnectNats } from './nats-connection.ts'
import type { SecretValues } from '../secrets/secrets.ts'
import type { GatewaySettings } from '../settings.ts'
import type { Troubles } from '../troubles.ts'

const PROBE_MS = 1_000
/** How old the last returned probe may be for the bus to count as working. */
const PROBE_VALID_MS = 3_000
/** Between two comparisons while nothing comes from other brokers: messages are late then, and do not wait for the end of it. */
const COMPARE_AWAY_MS = 8_000
const DRAIN_TIMEOUT_MS = 2_000
/** Of the gateway's free memory, what may be handed to NATS and not be known to have arrived. */
const SHARE = 1 / 2
/** More than this unconfirmed is asked about at once; less is confirmed by the next probe. */
const CONFIRM_BYTES = 65_536
/** What a record holds besides its frame. */
const RECORD_BYTES = 256
/** A right that was refused counts as missing for so long: NATS does not say when it is granted. */
const FORBIDDEN_MS = 60_000

/** Why a record was not sent. */
export type Lost = 'bus_away' | 'memory' | 'too_long'

/** Nobody listens before `start`. */
const deaf: BusEvents = { record: () => undefined, compare: () => undefined }

/**
 * The message bus between brokers. Records for one process of a broker within one turn of the event loop share one NATS message,
 * which is numbered.
 *
 * While NATS is away nothing is queued, and while it does not take what it is given only as much as the memory budget
 * allows: durable messages are in their streams, and the numbers tell every broker that it has missed something.
 */
export class Bus implements AsyncDisposable {
  #nats: NatsConnection
  readonly #memory: MemoryAccount
  readonly #settings: GatewaySettings
  readonly #secrets: () => SecretValues
  readonly #metrics: Metrics
  readonly #troubles: Troubles
  readonly #logger: Logger
  #events = deaf
  readonly #subject: string
  /** Of messages to itself. */
  readonly #ownRoute: string
  readonly #receivers: Receivers
  readonly #senders: Senders
  /** Those with records of this turn. */
  #pending: Receiver[] = []
  /** A push was left to the inbox because too much was unconfirmed. */
  #leavesOut = false
  /** Bytes handed to NATS since the start, and how far they are known to have arrived, or to be lost. */
  #published = 0
  #confirmed = 0
  #publishedAtProbe = 0
  #confirming = false
  readonly #stopped = new AbortController()
  #subscription: Subscription | undefined
  #probeTimer: NodeJS.Timeout | undefined
  #flushing = false
  #connected = true
  #probes = 0
  #probedAt = -Infinity
  #comparedAt = -Infinity

  private constructor(nats: NatsConnection, context: BusContext) {
    const { settings, bootId, secrets, memory, metrics, troubles, logger } = context
    const { brokerId } = settings
    this.#nats = nats
    this.#ownRoute = buildRoute(bootId, brokerId, bootId)
    this.#receivers = new Receivers({
      brokerId,
      bootId,
      send: (to, message) => this.#send(to, message),
    })
    this.#senders = new Senders(bootId, {
      hole: () => metrics.busHoles.inc(),
      compare: () => this.#events.compare(),
    })
    this.#memory = memory.openAccount(SHARE)
    this.#settings = settings
    this.#secrets = secrets
    this.#metrics = metrics
    this.#troubles = troubles
    this.#logger = logger
    this.#subject = this.#subjectOf(brokerId)
    metrics.natsUp.set(1)
    void this.#watch(nats)
  }

  /** Connects. @throws as `connectNats` */
  static async connect(context: BusContext, timeoutMs: number, stop: AbortSignal): Promise<Bus> {
    const { settings, secrets, logger } = context
    return new Bus(await connectNats(settings, secrets, logger, timeoutMs, stop), context)
  }

  /**
   * Subscribes to `broker.<own id>`.
   *
   * @throws GatewayError NATS_FORBIDDEN when NATS refuses the right to that, or to publish there
   */
  async start(events: BusEvents): Promise<void> {
    this.#events = events
    this.#probe()
    this.#probeTimer = setInterval(() => this.#tick(), PROBE_MS)
    // A refusal comes before the answer to what is sent after it; its event a turn later.
    await Promise.race([this.#nats.flush().catch(() => undefined), delay(PROBE_MS)])
    await delay(0)
    const refusal = this.#troubles.get('NatsForbidden')
    if (refusal !== undefined) throw new GatewayError('NATS_FORBIDDEN', refusal, { retryable: false })
  }

  /** Whether a message to this broker's own subject came back lately. */
  get working(): boolean {
    return this.#connected && this.ageMs < PROBE_VALID_MS
  }

  /** How long ago that was, in milliseconds; Infinity before the first. */
  get ageMs(): number {
    return performance.now() - this.#probedAt
  }

  /**
   * Sends a record to a process of another broker at the end of this turn. Lost when NATS is away, does not take what it is given,
   * or takes none so long; returns which, or undefined when it was none. Of a push that is too long the receiver learns that the
   * stream has moved.
   */
  publish(to: Place, record: BusRecord, frame?: Uint8Array): Lost | undefined {
    const receiver = this.#receivers.get(to)
    if (!this.#connected) {
      receiver.lose(record)
      this.#metrics.busDropped.inc({ type: record.type })
      return 'bus_away'
    }
    // Only what carries a frame grows without bound: there are few of the others, and they mend what was lost.
    if (frame !== undefined && this.#memory.room('in') < frame.length + RECORD_BYTES) {
      receiver.lose(record)
      if (isMissed(record)) this.#leaveOut()
      return 'memory'
    }
    if (!receiver.pending) this.#pending.push(receiver)
    const bytes = receiver.add(record, frame, this.#maxBytes)
    if (bytes === 0) {
      if (record.type === 'push') return this.publish(to, { ...record, type: 'head' })
      this.#metrics.busDropped.inc({ type: record.type })
      return 'too_long'
    }
    this.#metrics.busRecords.inc(record.type)
    this.#published += bytes
    this.#memory.charge('bus', bytes)
    if (!this.#flushing) {
      this.#flushing = true
      atEndOfTurn(this.#flush)
    }
    return undefined
  }

  /** Sends what is pending, takes what is still coming, and leaves. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#probeTimer)
    this.#stopped.abort()
    this.#flush()
    if (this.#connected) this.#receivers.tellAll()
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
    const tooSmall = describePayloadLimit(this.#settings.maxFrameBytes, this.#maxBytes)
    this.#troubles.report('NatsPayloadTooSmall', tooSmall)
  }

  readonly #flush = (): void => {
    this.#flushing = false
    const pending = this.#pending
    this.#pending = []
    for (const receiver of pending) receiver.flush(this.#connected)
    if (this.#published - this.#confirmed > CONFIRM_BYTES) this.#confirm()
  }

  #leaveOut(): void {
    this.#metrics.leftToInbox.inc({ by: 'bus' })
    if (this.#leavesOut) return
    this.#leavesOut = true
    const unconfirmedBytes = this.#published - this.#confirmed
    this.#logger.warn({ unconfirmedBytes }, 'NATS does not take what it is given: pushes are left to the inbox')
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

  #send(brokerId: string, message: Buffer): void {
    try {
      this.#nats.publish(this.#subjectOf(brokerId), message)
      this.#metrics.busPublished.inc()
    } catch (err) {
      this.#logger.error({ err, to: brokerId }, 'cannot publish')
    }
  }

  #received(bytes: Uint8Array): void {
    try {
      if (isBinaryMessage(bytes)) this.#readBinary(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      else this.#readJson(bytes)
    } catch (err) {
      this.#metrics.busMalformed.inc()
      this.#senders.miss()
      this.#logger.error({ err, bytes: bytes.length }, 'a message of another broker cannot be handled')
    }
  }

  #readBinary(bytes: Buffer): void {
    const { number, route, end } = readHead(bytes)
    if (route === this.#ownRoute) {
      if (number === this.#probes) this.#probeReturned()
      return
    }
    const from = this.#senders.heard(route, number, end === bytes.length)
    readRecords(bytes, end, (record, frame) => this.#events.record(record, frame, from))
  }

  /** Of release 0.2.0. */
  #readJson(bytes: Uint8Array): void {
    for (const [record, frame] of decodeJsonRecords(bytes)) {
      if (record.type === 'probe') continue
      this.#senders.heardUnnumbered()
      if (record.type === 'sync') this.#events.compare()
      else {
        const origin = record.type === 'transient' ? record.origin : ''
        this.#events.record(record, frame, { brokerId: origin, incarnation: '' })
      }
    }
  }

  /** NATS ends a subscription whose right it refuses, also one that it had granted. */
  #subscribe(): void {
    if (this.#subscription?.isClosed() === false) return
    this.#subscription = this.#nats.subscribe(this.#subject, {
      callback: (error, message) => (error === null ? this.#received(message.data) : this.#refused(error)),
    })
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

  #refuseLogin(): void {
    this.#troubles.report('NatsRefused', NATS_REFUSES)
  }

  /** Once a second. */
  #tick(): void {
    this.#senders.tick()
    if (!this.working && performance.now() - this.#comparedAt >= COMPARE_AWAY_MS) {
      this.#comparedAt = performance.now()
      this.#events.compare()
    }
    if (!this.#connected) return
    this.#receivers.tick()
    this.#probe()
  }

  /** Sends a message without records to itself. */
  #probe(): void {
    if (!this.#connected) return
    this.#checkPayload()
    this.#subscribe()
    this.#flush()
    this.#probes += 1
    this.#publishedAtProbe = this.#published
    this.#nats.publish(this.#subject, encodeHead(this.#ownRoute, this.#probes))
  }

  /** The server has taken all that was published before the probe. */
  #probeReturned(): void {
    this.#probedAt = performance.now()
    this.#arrived(this.#publishedAtProbe)
    if (this.#memory.room('in') > 0) this.#leavesOut = false
  }

  async #watch(nats: NatsConnection): Promise<void> {
    for await (const status of nats.status()) {
      const { type, data } = status
      if (type === Events.Disconnect) this.#away()
      else if (type === Events.Reconnect) this.#back()
      // What else this connection tells is of no interest any more.
      else if (type === DebugEvents.StaleConnection) return await this.#replace(nats)
      else if (type === Events.Error && data === ErrorCode.PermissionsViolation)
        this.#refused({ message: data, ...status })
      // One that sends us away may take what we have by now.
      else if (type === Events.Error && isRefusal({ code: data }) && !this.#connected) this.#refuseLogin()
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

  #back(): void {
    this.#connected = true
    this.#metrics.natsUp.set(1)
    this.#troubles.report('NatsRefused', undefined)
    this.#logger.info('NATS is back')
    this.#probe()
    this.#receivers.doubtAll()
    this.#receivers.tellAll()
    // After the round trip the server has the subscription again, so that nothing falls between it and the event. Not waited for: what
    // this connection tells meanwhile may be that the server stands still.
    this.#nats.flush().then(
      () => this.#events.compare(),
      () => undefined,
    )
  }

  /**
   * Gives up a server that answers no pings. nats.js would first wait until it has taken what it was given, which one that
   * stands still never does; till then the memory is held, and no other server is tried.
   */
  async #replace(stale: NatsConnection): Promise<void> {
    await stale.close()
    this.#away()
    const refused = () => this.#refuseLogin()
    const fresh = await reconnectNats(this.#settings, this.#secrets, refused, this.#logger, this.#stopped.signal)
    if (fresh === undefined) return
    this.#nats = fresh
    this.#subscription = undefined
    this.#confirming = false
    void this.#watch(fresh)
    this.#back()
  }
}
