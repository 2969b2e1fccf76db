import type { Duplex } from 'node:stream'
import { corkForTurn, uncorkMuch } from '../../server/cork.ts'
import { startReading, stopReading } from './socket-reading.ts'
import { END_TIMEOUT_MS, type Transport, type TransportEvents } from './transport.ts'

const NOTHING = { held: 0, missing: 0 }

/** Puts a connection onto an accepted TCP or TLS stream. `attach` is called once and returns who listens. */
export function openTcpTransport(
  stream: Duplex,
  remoteAddress: string,
  attach: (transport: Transport) => TransportEvents,
): void {
  const transport: Transport = {
    kind: 'tcp',
    codec: 'binary',
    remoteAddress,
    get bufferedBytes() {
      return stream.writableLength
    },
    partial: NOTHING,
    write: (data) => {
      corkForTurn(stream)
      stream.write(data, flushed)
      uncorkMuch(stream)
    },
    pause: () => stopReading(stream),
    resume: () => startReading(stream),
    end: () => {
      // What the peer still sends is read and forgotten, so that its end of stream is seen.
      stream.removeListener('data', received)
      startReading(stream)
      stream.end()
      setTimeout(() => stream.destroy(), END_TIMEOUT_MS).unref()
    },
    destroy: () => void stream.destroy(),
  }
  const events = attach(transport)
  // Hoisted: a connection that is one too many writes and ends while it is being attached.
  function received(chunk: Buffer): void {
    events.received(chunk)
  }
  function flushed(error?: Error | null): void {
    if (!error) events.flushed()
  }
  stream.on('data', received)
  stream.on('end', () => stream.destroy())
  stream.on('error', () => stream.destroy())
  stream.on('close', () => events.ended())
}
