import { isUtf8 } from 'node:buffer'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { corkForTurn, uncorkMuch } from '../../server/cork.ts'
import { codes } from '../../protocol/codes.ts'
import { subprotocols } from '../../protocol/frames.ts'
import { startReading, stopReading } from './socket-reading.ts'
import { END_TIMEOUT_MS, type Transport, type TransportEvents } from './transport.ts'
import { WebSocketMeter } from './websocket-meter.ts'

/** Puts a connection onto an open WebSocket over `stream`. `attach` is called once and returns who listens. */
export function openWebSocketTransport(
  socket: WebSocket,
  stream: Duplex,
  remoteAddress: string,
  attach: (transport: Transport) => TransportEvents,
): void {
  const codec = socket.protocol === subprotocols.binary ? 'binary' : 'json'
  const meter = new WebSocketMeter()
  const transport: Transport = {
    kind: 'websocket',
    codec,
    remoteAddress,
    get bufferedBytes() {
      return socket.bufferedAmount
    },
    partial: meter,
    write: (data) => {
      corkForTurn(stream)
      socket.send(data, flushed)
      uncorkMuch(stream)
    },
    pause: () => {
      socket.pause()
      stopReading(stream)
    },
    resume,
    end: (code) => {
      // A paused socket would never see the peer's close frame.
      resume()
      socket.close(codes[code].code, code)
      setTimeout(() => socket.terminate(), END_TIMEOUT_MS).unref()
    },
    destroy: () => socket.terminate(),
  }
  const events = attach(transport)
  // Hoisted: a connection that is one too many writes and ends while it is being attached.
  function flushed(error?: Error | null): void {
    if (!error) events.flushed()
  }
  function resume(): void {
    startReading(stream)
    socket.resume()
  }
  // Before ws itself, so that the meter is right when a message is told of.
  stream.prependListener('data', (chunk: Buffer) => {
    const before = meter.held
    meter.push(chunk)
    if (before > 0 || meter.held > 0) events.partial()
  })
  socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary !== (codec === 'binary')) events.failed('frame_malformed')
    else if (isBinary) events.received(data)
    else if (isUtf8(data)) events.received(data.toString('utf8'))
    else events.failed('utf8_malformed')
  })
  socket.on('error', (error: Error & { code?: string }) => {
    if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') events.failed('frame_too_large')
    else if (error.code?.startsWith('WS_ERR_')) events.failed('frame_malformed')
  })
  socket.on('close', () => events.ended())
}
