import { randomUUID } from 'node:crypto'
import { encodeBinary } from '../protocol/binary.ts'
import { codes, type CodeName } from '../protocol/codes.ts'
import { isClientFrame } from '../protocol/direction.ts'
import { ProtocolError } from '../protocol/errors.ts'
import { FrameDecoder } from '../protocol/frame-decoder.ts'
import { limits, NO_CLIENT_TYPE, type ClientFrame, type Frame, type GatewayFrame } from '../protocol/frames.ts'
import { decodeJson, encodeJson } from '../protocol/json.ts'
import type { EncodedFrame } from './encoded-frame.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import { RateLimit } from './rate-limit.ts'
import type { GatewaySettings } from './settings.ts'
import type { Transport, TransportEvents } from './transport.ts'

/** What a connection hands on. */
export interface ConnectionEvents {
  /** A well-formed frame that a client may send. Whoever handles it calls `hold` for work that goes on. */
  frame(connection: Connection, frame: ClientFrame): void
  /** Bytes waiting for the client have left. */
  flushed(connection: Connection): void
  /** The connection has ended or is being closed. Called once; nothing is written any more. */
  ended(connection: Connection): void
}

export interface ConnectionContext {
  readonly settings: GatewaySettings
  readonly metrics: Metrics
  readonly logger: Logger
  readonly events: ConnectionEvents
}

/**
 * One client's connection: frames in and out over either transport, time-outs, and back-pressure in both directions.
 * What the frames mean is decided elsewhere (`ConnectionEvents`).
 */
export class Connection implements TransportEvents {
  readonly id = randomUUID()
  readonly transport: Transport
  readonly #context: ConnectionContext
  readonly #decoder = new FrameDecoder(limits.loginFrame)
  readonly #rate: RateLimit
  /** Read and not yet decoded; more than one element only while reading is paused. */
  readonly #inbound: (Uint8Array | string)[] = []
  readonly #idleTimer: NodeJS.Timeout
  #frameTimer: NodeJS.Timeout | undefined
  #rateTimer: NodeJS.Timeout | undefined
  #maxFrameBytes: number = limits.loginFrame
  #held = 0
  #exclusive = false
  #paused = false
  #pumping = false
  #open = true

  constructor(transport: Transport, context: ConnectionContext) {
    this.transport = transport
    this.#context = context
    this.#rate = new RateLimit(context.settings.maxFramesPerSecond)
    this.#idleTimer = setTimeout(() => this.close('idle_timeout'), context.settings.idleTimeoutMs)
    context.metrics.connections.inc({ transport: transport.kind })
  }

  get open(): boolean {
    return this.#open
  }

  /** Whether as many bytes wait for the client as may. */
  get full(): boolean {
    return this.transport.bufferedBytes > this.#context.settings.maxBufferedBytes
  }

  /** The login succeeded: frames may be as long as the settings allow. */
  admit(): void {
    this.#maxFrameBytes = this.#context.settings.maxFrameBytes
    this.#decoder.maxFrameBytes = this.#maxFrameBytes
  }

  /**
   * Counts a request as in flight until its work has ended. At the limit no more is read from the client; with
   * `exclusive` nothing is read until then. The work handles its own errors.
   */
  hold(work: Promise<void>, { exclusive = false } = {}): void {
    this.#held += 1
    if (exclusive) this.#exclusive = true
    const release = () => {
      this.#held -= 1
      if (exclusive) this.#exclusive = false
      this.#pump()
    }
    work.then(release, (error: unknown) => {
      this.#context.logger.error({ connectionId: this.id, err: error }, 'a request failed')
      release()
      this.close('internal')
    })
  }

  /** Writes a frame. */
  send(frame: GatewayFrame): void {
    if (this.#open) this.transport.write(this.transport.codec === 'binary' ? encodeBinary(frame) : encodeJson(frame))
  }

  /** Writes a frame that goes to other connections too. */
  sendEncoded(frame: EncodedFrame): void {
    if (this.#open) this.transport.write(frame.as(this.transport.codec))
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
    this.#pump()
  }

  failed(code: CodeName): void {
    this.close(code)
  }

  flushed(): void {
    if (!this.#open) return
    this.#context.events.flushed(this)
    if (this.#paused) this.#pump()
  }

  ended(): void {
    if (this.#open) this.#finish()
  }

  #finish(): void {
    this.#open = false
    clearTimeout(this.#idleTimer)
    clearTimeout(this.#frameTimer)
    clearTimeout(this.#rateTimer)
    this.#inbound.length = 0
    this.#context.metrics.connections.dec({ transport: this.transport.kind })
    this.#context.events.ended(this)
  }

  /** Handles frames until there are none, or the client has to wait. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#mayRead()) {
        const frame = this.#next()
        if (frame === undefined) break
        this.#idleTimer.refresh()
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
      this.#watchFrame()
      this.#pauseOrResume()
    }
  }

  #mayRead(): boolean {
    if (!this.#open || this.#exclusive || this.#held >= this.#context.settings.maxInFlightSends || this.full)
      return false
    return this.#rateTimer === undefined
  }

  #next(): Frame | undefined {
    for (;;) {
      const decoded = this.#decoder.next()
      if (decoded !== undefined) return this.#limited(decoded)
      // A WebSocket message holds whole frames: what it leaves unfinished never ends.
      if (this.#decoder.midFrame && this.transport.kind === 'websocket') throw new ProtocolError('frame_malformed')
      const data = this.#inbound.shift()
      if (data === undefined) return undefined
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
    this.#context.metrics.frames.inc({ type: frame.type })
    if (!isClientFrame(frame)) throw new ProtocolError('frame_unexpected')
    this.#context.events.frame(this, frame)
  }

  #watchFrame(): void {
    if (!this.#decoder.midFrame || this.#paused) this.#stopFrameTimer()
    else this.#frameTimer ??= setTimeout(() => this.close('frame_timeout'), this.#context.settings.frameTimeoutMs)
  }

  #stopFrameTimer(): void {
    clearTimeout(this.#frameTimer)
    this.#frameTimer = undefined
  }

  #pauseOrResume(): void {
    const pause = !this.#mayRead()
    if (pause === this.#paused) return
    this.#paused = pause
    if (pause) this.transport.pause()
    else this.transport.resume()
  }
}
