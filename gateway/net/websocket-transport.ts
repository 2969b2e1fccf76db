import { isUtf8 } from 'node:buffer'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { corkForTurn, uncorkMuch } from '../../server/cork.ts'
import { codes, type CodeName } from '../../protocol/codes.ts'
import { subprotocols } from '../../protocol/frames.ts'
import { startReading, stopReading } from './socket-reading.ts'
import { END_TIMEOUT_MS, type Transport, type TransportEvents } from './transport.ts'
import { WebSocketMeter } from './websocket-meter.ts'

const owner = Symbol('transport')

/** A stream or WebSocket that knows whose it is, so that all share their listeners: a closure for each costs memory at rest. */
type Owned<Emitter> = Emitter & { [owner]?: WebSocketTransport }

/** A client's open WebSocket, over a TCP or TLS stream. */
export class WebSocketTransport implements Transport {
  readonly #socket: Owned<WebSocket>
  readonly #stream: Owned<Duplex>
  readonly #meter = new WebSocketMeter()
  #events: TransportEvents | undefined
  readonly #flushed = (error?: Error | null): void => {
    if (!error) this.#events?.flushed()
  }

  constructor(socket: WebSocket, stream: Duplex) {
    this.#socket = socket
    this.#stream = stream
  }

  get kind() {
    return 'websocket' as const
  }

  get codec() {
    return this.#socket.protocol === subprotocols.binary ? 'binary' : 'json'
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount
  }

  get partial() {
    return this.#meter
  }

  /** Begins to tell. A connection that is one too many may have written and ended before. */
  start(events: TransportEvents): void {
    this.#events = events
    this.#stream[owner] = this
    this.#socket[owner] = this
    // Before ws itself, so that the meter is right when a message is told of.
    this.#stream.prependListener('data', measure)
    this.#socket.on('message', received)
    this.#socket.on('error', failed)
    this.#socket.on('close', closed)
  }

  write(data: Uint8Array | string): void {
    corkForTurn(this.#stream)
    this.#socket.send(data, this.#flushed)
    uncorkMuch(this.#stream)
  }

  pause(): void {
    this.#socket.pause()
    stopReading(this.#stream)
  }

  resume(): void {
    startReading(this.#stream)
    this.#socket.resume()
  }

  end(code: CodeName): void {
    const socket = this.#socket
    // A paused socket would never see the peer's close frame.
    this.resume()
    socket.close(codes[code].code, code)
    setTimeout(() => socket.terminate(), END_TIMEOUT_MS).unref()
  }

  destroy(): void {
    this.#socket.terminate()
  }

  /** For `measure`: bytes have come. */
  measure(chunk: Uint8Array): void {
    const meter = this.#meter
    const before = meter.held
    meter.push(chunk)
    if (before > 0 || meter.held > 0) this.#events?.partial()
  }

  /** For `received`: a whole message has come. */
  received(data: Buffer, isBinary: boolean): void {
    if (isBinary !== (this.codec === 'binary')) this.failed('frame_malformed')
    else if (isBinary) this.#events?.received(data)
    else if (isUtf8(data)) this.#events?.received(data.toString('utf8'))
    else this.failed('utf8_malformed')
  }

  /** For `failed`. */
  failed(code: CodeName): void {
    this.#events?.failed(code)
  }

  /** For `closed`. */
  closed(): void {
    this.#events?.ended()
  }
}

// With the stream or the socket as `this`.
function measure(this: Owned<Duplex>, chunk: Buffer): void {
  this[owner]?.measure(chunk)
}

function received(this: Owned<WebSocket>, data: Buffer, isBinary: boolean): void {
  this[owner]?.received(data, isBinary)
}

function failed(this: Owned<WebSocket>, error: Error & { code?: string }): void {
  if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') this[owner]?.failed('frame_too_large')
  else if (error.code?.startsWith('WS_ERR_')) this[owner]?.failed('frame_malformed')
}

function closed(this: Owned<WebSocket>): void {
  this[owner]?.closed()
}
