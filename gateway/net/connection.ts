import { randomUUID } from 'node:crypto'
import { encodeBinary } from '../../protocol/binary.ts'
import { codes, type CodeName } from '../../protocol/codes.ts'
import { isClientFrame } from '../../protocol/direction.ts'
import { ProtocolError } from '../../protocol/errors.ts'
import { FrameDecoder } from '../../protocol/frame-decoder.ts'
import { limits, NO_CLIENT_TYPE, type ClientFrame, type Frame, type GatewayFrame } from '../../protocol/frames.ts'
import { decodeJson, encodeJson } from '../../protocol/json.ts'
import { ConnectionMemory } from './connection-memory.ts'
import { NOWHERE, type DeadlineWheel, type Timed } from './deadline-wheel.ts'
import type { EncodedFrame } from './encoded-frame.ts'
import type { Logger } from '../logger.ts'
import type { MemoryBudget } from '../memory/memory-budget.ts'
import { COPIES } from '../memory/memory-costs.ts'
import type { Direction, MemoryWaiter } from '../memory/memory-queue.ts'
import type { Metrics } from '../metrics.ts'
import { RateLimit } from './rate-limit.ts'
import type { GatewaySettings } from '../settings.ts'
import type { Transport, TransportEvents } from './transport.ts'

/** What a connection hands on. */
export interface ConnectionEvents {
  /** A well-formed frame that a client may send. Whoever handles it calls `hold` for work that goes on. */
  frame(connection: Connection, frame: ClientFrame): void
  /** Bytes waiting for the client have left, or there may be room again in the gateway's memory. */
  flushed(connection: Connection): void
  /** The connection has ended or is being closed. Called once; nothing is written any more. */
  ended(connection: Connection): void
}

export interface ConnectionContext {
  readonly settings: GatewaySettings
  readonly metrics: Metrics
  readonly logger: Logger
  readonly memory: MemoryBudget
  readonly events: ConnectionEvents
  readonly deadlines: DeadlineWheel
}

/**
 * One client's connection: frames in and out over either transport, time-outs, and back-pressure in both directions: by
 * its own limits, and by the memory that all connections share. What the frames mean is decided elsewhere
 * (`ConnectionEvents`).
 *
 * With the memory it is so: what has been read is handled, one frame at a time when there is no room. More is read only
 * while there is room. A frame that was begun while there was room is charged in full and may be finished, so that
 * unfinished frames never wait for each other.
 */
export class Connection implements TransportEvents, MemoryWaiter, Timed {
  readonly id = randomUUID()
  readonly transport: Transport
  readonly #context: ConnectionContext
  readonly #decoder = new FrameDecoder(limits.loginFrame)
  readonly #rate: RateLimit
  readonly #memory: ConnectionMemory
  /** Read and not yet decoded; more than one element only while reading is paused. */
  readonly #inbound: (Uint8Array | string)[] = []
  /** By Date.now(); Infinity for never. */
  #expiresAt = Infinity
  /** Of the wheel. */
  wheelSlot = NOWHERE
  #frameTimer: NodeJS.Timeout | undefined
  #rateTimer: NodeJS.Timeout | undefined
  #maxFrameBytes: number = limits.loginFrame
  #admitted = false
  #inboundBytes = 0
  #held = 0
  /** Of the requests in flight. */
  #heldBytes = 0
  /** What the client is expected to send next at the most, in bytes, by what it sent before. */
  #expected = 0
  /** It is told now that there is room. */
  #turn = false
  /** One read more is allowed, after waiting for it. */
  #granted = false
  /** The frame that is coming was begun while there was room. */
  #mayFinish = false
  #exclusive = false
  #paused = false
  #pumping = false
  #open = true

  constructor(transport: Transport, context: ConnectionContext) {
    this.transport = transport
    this.#context = context
    this.#rate = new RateLimit(context.settings.maxFramesPerSecond)
    this.#memory = new ConnectionMemory(context.memory)
    context.deadlines.schedule(this, this.#idleAt)
    context.metrics.connections.inc({ transport: transport.kind })
  }

  get open(): boolean {
    return this.#open
  }

  /** Whether as many bytes wait for the client as may. */
  get full(): boolean {
    return this.transport.bufferedBytes > this.#context.settings.maxBufferedBytes
  }

  /** Whether anything waits for the client: `flushed` will be told. */
  get waiting(): boolean {
    return this.transport.bufferedBytes > 0
  }

  /** Whether so many bytes more may wait for the client: it is not full, and the gateway has room for them. */
  takes(bytes: number): boolean {
    return !this.full && this.#memory.room('out') > bytes
  }

  /** Takes room for what is read for the client: at most so many bytes; 0 when there is no room for a message. */
  reserve(mostBytes: number): number {
    if (this.full) return 0
    const { maxFrameBytes } = this.#context.settings
    return this.#memory.reserve(maxFrameBytes, mostBytes, this.#turn, this.transport.bufferedBytes)
  }

  /** Gives back what `reserve` took. */
  release(bytes: number): void {
    this.#memory.release(bytes)
  }

  /** `flushed` will be told once there may be room in the gateway's memory. */
  awaitRoom(): void {
    if (this.#open) this.#context.memory.queue('out').add(this)
  }

  /** The login succeeded: frames may be as long as the settings allow. */
  admit(): void {
    this.#admitted = true
    this.#maxFrameBytes = this.#context.settings.maxFrameBytes
    this.#decoder.maxFrameBytes = this.#maxFrameBytes
  }

  /** Closes the connection at that time, by Date.now(), which may be put off; 0 for never. */
  expireAt(time: number): void {
    this.#expiresAt = time === 0 ? Infinity : time
    if (this.#open && time !== 0) this.#context.deadlines.schedule(this, this.#expiresIn + performance.now())
  }

  due(now: number): number {
    if (now >= this.#idleAt) this.close('idle_timeout')
    else if (this.#expiresIn <= 0) this.close('token_expired')
    return this.#open ? Math.min(this.#idleAt, now + this.#expiresIn) : Infinity
  }

  /** Each frame takes a token: the last one is the last sign of life. */
  get #idleAt(): number {
    return this.#rate.takenAt + this.#context.settings.idleTimeoutMs
  }

  get #expiresIn(): number {
    return this.#expiresAt - Date.now()
  }

  /**
   * Counts a request, and the bytes that it holds, as in flight until its work has ended. At the limit no more is read
   * from the client; with `exclusive` nothing is handled until then. The work handles its own errors.
   */
  hold(work: Promise<void>, bytes: number, exclusive = false): void {
    this.#held += 1
    this.#heldBytes += bytes
    if (exclusive) this.#exclusive = true
    const release = () => {
      this.#held -= 1
      this.#heldBytes -= bytes
      if (exclusive) this.#exclusive = false
      if (this.#open) this.#pump()
      else this.#settle()
    }
    work.then(release, (error: unknown) => {
      this.#context.logger.error({ connectionId: this.id, err: error }, 'a request failed')
      release()
      this.close('internal')
    })
  }

  /** Writes a frame. */
  send(frame: GatewayFrame): void {
    if (this.#open) this.#write(this.transport.codec === 'binary' ? encodeBinary(frame) : encodeJson(frame))
  }

  /** Writes a frame that goes to other connections too. */
  sendEncoded(frame: EncodedFrame): void {
    if (this.#open) this.#write(frame.as(this.transport.codec))
  }

  /** Refuses a request. The connection goes on. */
  refuse(requestId: number, error: ProtocolError): void {
    this.#context.metrics.errors.inc({ code: error.code })
    if (error.code === 'internal') {
      this.#context.logger.error({ connectionId: this.id, err: error.cause }, 'a request failed')
    }
    this.send({ type: 'error', requestId, code: error.number, message: error.message })
  }

  /** Ends the connection with a code. `clientType` is that of the device that caused it, if one did. */
  close(code: CodeName, detail: { message?: string; clientType?: number } = {}): void {
    if (!this.#open) return
    this.#context.metrics.closes.inc({ code })
    const { message = codes[code].message, clientType = NO_CLIENT_TYPE } = detail
    this.send({ type: 'close', code: codes[code].code, message, clientType })
    this.#finish()
    this.transport.end(code)
  }

  received(data: Uint8Array | string): void {
    if (!this.#open) return
    this.#inbound.push(data)
    this.#inboundBytes += data.length
    this.#expected = Math.max(data.length, this.#expected / 2)
    this.#granted = false
    this.#pump()
  }

  partial(): void {
    if (!this.#open) return
    this.#settle()
    this.#watchFrame()
    this.#pauseOrResume()
  }

  failed(code: CodeName): void {
    this.close(code)
  }

  flushed(): void {
    this.#memory.flushed(this.transport.bufferedBytes)
    if (!this.#open) return
    this.#context.events.flushed(this)
    if (this.#paused) this.#pump()
  }

  ended(): void {
    if (this.#open) this.#finish()
    this.#memory.received(this.#heldBytes)
    this.#memory.ended()
  }

  roomAgain(direction: Direction): boolean {
    if (!this.#open) return false
    this.#turn = true
    if (direction === 'out') this.#context.events.flushed(this)
    else {
      this.#granted = this.#memory.room('in', true) > this.#expected * COPIES
      this.#pump()
    }
    this.#turn = false
    const nothing = direction === 'out' || (this.#held === 0 && !this.waiting)
    return nothing && this.#context.memory.queue(direction).has(this)
  }

  /** Reads no more until there is room. */
  stopReading(): void {
    if (this.#open && !this.#pumping) this.#pauseOrResume()
  }

  #write(data: Uint8Array | string): void {
    this.transport.write(data)
    this.#memory.wrote(this.transport.bufferedBytes)
  }

  /** Charges the account with what is held now of what the client sent. */
  #settle(): void {
    if (!this.#open) return this.#memory.received(this.#heldBytes)
    const { partial } = this.transport
    const missing = this.#decoder.missing + partial.missing
    let received = this.#inboundBytes + this.#decoder.buffered + partial.held
    if (missing === 0) this.#mayFinish = false
    else if (!this.#mayFinish) this.#mayFinish = this.#mayBegin(missing)
    // The read that finishes it may bring more.
    if (this.#mayFinish) received += Math.max(missing, this.#expected)
    this.#memory.received(received * COPIES + this.#heldBytes)
  }

  /** Whether the frame that has begun to come may be finished: there is room, or it is all that is held of the client. */
  #mayBegin(missing: number): boolean {
    if (!this.#admitted) return false
    const alone = this.#held === 0 && this.#inbound.length === 0
    return this.#memory.room('in', this.#turn, alone ? 0 : undefined) > missing * COPIES
  }

  #finish(): void {
    this.#open = false
    this.#context.deadlines.remove(this)
    clearTimeout(this.#frameTimer)
    clearTimeout(this.#rateTimer)
    this.#inbound.length = 0
    this.#inboundBytes = 0
    this.#context.memory.queue('in').delete(this)
    this.#context.memory.queue('out').delete(this)
    this.#settle()
    this.#context.metrics.connections.dec({ transport: this.transport.kind })
    this.#context.events.ended(this)
  }

  /** Handles frames until there are none, or the client has to wait. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#mayHandle()) {
        const frame = this.#next()
        if (frame === undefined) break
        this.#stopFrameTimer()
        this.#handle(frame)
      }
    } catch (error) {
      if (error instanceof ProtocolError) this.close(error.code, { message: error.message })
      else throw error
    } finally {
      this.#pumping = false
    }
    if (this.#open) {
      this.#settle()
      this.#pauseOrResume()
      this.#watchFrame()
    }
  }

  /** What has been read is handled also without room, one frame after the other. */
  #mayHandle(): boolean {
    if (!this.#open || this.#exclusive || this.#held >= this.#context.settings.maxInFlightSends || this.full)
      return false
    return this.#rateTimer === undefined && (this.#held === 0 || this.#memory.room('in') > 0)
  }

  /** While its login is worked on a little is read, and kept, so that the end of a client who gives up is seen. */
  #mayListen(): boolean {
    const little = this.#inboundBytes < limits.loginFrame && this.transport.partial.held === 0
    return this.#exclusive && !this.#admitted && little && this.#mayRead()
  }

  /** More is read while what may come has room, or when nothing is held of the client. */
  #mayRead(): boolean {
    if (this.#mayFinish || (this.#granted && this.#context.memory.free > 0)) return true
    return this.#memory.room('in') > this.#expected * COPIES
  }

  #next(): Frame | undefined {
    for (;;) {
      const decoded = this.#decoder.next()
      if (decoded !== undefined) return this.#limited(decoded)
      // A WebSocket message holds whole frames: what it leaves unfinished never ends.
      if (this.#decoder.midFrame && this.transport.kind === 'websocket') throw new ProtocolError('frame_malformed')
      const data = this.#inbound.shift()
      if (data === undefined) return undefined
      this.#inboundBytes -= data.length
      if (typeof data === 'string') {
        if (Buffer.byteLength(data) > this.#maxFrameBytes) throw new ProtocolError('frame_too_large')
        return this.#limited(decodeJson(data))
      }
      this.#decoder.push(data)
    }
  }

  /** A client over its rate is not refused: this frame is handled, and no more is read until there is room. */
  #limited(frame: Frame): Frame {
    const wait = this.#rate.take()
    if (wait > 0) {
      this.#rateTimer = setTimeout(() => {
        this.#rateTimer = undefined
        this.#pump()
      }, wait)
    }
    return frame
  }

  #handle(frame: Frame): void {
    this.#context.metrics.frames.inc(frame.type)
    if (!isClientFrame(frame)) throw new ProtocolError('frame_unexpected')
    this.#context.events.frame(this, frame)
  }

  /** A frame that is not finished ends the connection in time, unless it waits for work of its own to end. */
  #watchFrame(): void {
    const midFrame = this.#decoder.midFrame || this.transport.partial.held > 0
    if (!midFrame || !this.#mayHandle()) this.#stopFrameTimer()
    else this.#frameTimer ??= setTimeout(() => this.close('frame_timeout'), this.#context.settings.frameTimeoutMs)
  }

  #stopFrameTimer(): void {
    clearTimeout(this.#frameTimer)
    this.#frameTimer = undefined
  }

  #pauseOrResume(): void {
    const own = !this.#mayHandle()
    const pause = own ? !this.#mayListen() : !this.#mayRead()
    if (pause && !own) {
      // Who has not logged in has nothing to lose here, and must not hold what others need.
      if (!this.#admitted && this.#memory.holdsReceived) return this.close('overloaded')
      this.#context.memory.queue('in').add(this)
    }
    if (pause === this.#paused) return
    this.#paused = pause
    if (pause) this.transport.pause()
    else this.transport.resume()
  }
}
