import type { Duplex } from 'node:stream'
import { corkForTurn, uncorkMuch } from '../../server/cork.ts'
import { startReading, stopReading } from './socket-reading.ts'
import { END_TIMEOUT_MS, type Transport, type TransportEvents } from './transport.ts'

const NOTHING = { held: 0, missing: 0 }
const owner = Symbol('transport')

/** A stream that knows whose it is, so that all streams share their listeners: a closure for each costs memory at rest. */
type OwnedStream = Duplex & { [owner]?: TransportEvents | undefined }

/** A client's accepted TCP or TLS stream. */
export class TcpTransport implements Transport {
  readonly #stream: OwnedStream
  readonly #flushed = (error?: Error | null): void => {
    if (!error) this.#stream[owner]?.flushed()
  }

  constructor(stream: Duplex) {
    this.#stream = stream
  }

  get kind() {
    return 'tcp' as const
  }

  get codec() {
    return 'binary' as const
  }

  get bufferedBytes(): number {
    return this.#stream.writableLength
  }

  get partial() {
    return NOTHING
  }

  /** Begins to tell. A connection that is one too many may have written and ended before. */
  start(events: TransportEvents): void {
    const stream = this.#stream
    stream[owner] = events
    stream.on('data', received)
    stream.on('end', destroy)
    stream.on('error', destroy)
    stream.on('close', closed)
  }

  write(data: Uint8Array | string): void {
    const stream = this.#stream
    corkForTurn(stream)
    stream.write(data, this.#flushed)
    uncorkMuch(stream)
  }

  pause(): void {
    stopReading(this.#stream)
  }

  resume(): void {
    startReading(this.#stream)
  }

  end(): void {
    const stream = this.#stream
    // What the peer still sends is read and forgotten, so that its end of stream is seen.
    startReading(stream)
    stream.end()
    setTimeout(() => stream.destroy(), END_TIMEOUT_MS).unref()
  }

  destroy(): void {
    this.#stream.destroy()
  }
}

// With the stream as `this`.
function received(this: OwnedStream, chunk: Buffer): void {
  this[owner]?.received(chunk)
}

function destroy(this: OwnedStream): void {
  this.destroy()
}

function closed(this: OwnedStream): void {
  const events = this[owner]
  this[owner] = undefined
  events?.ended()
}
