import type { WebSocket } from 'ws'
import { codes } from '../protocol/codes.ts'
import { subprotocols } from '../protocol/frames.ts'
import { END_TIMEOUT_MS, type Transport, type TransportEvents } from './transport.ts'

/** Codes that `ws` gives its own protocol errors, and what they are called here. */
const errorCodes = {
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 'frame_too_large',
  WS_ERR_INVALID_UTF8: 'utf8_malformed',
} as const

/** Puts a connection onto an open WebSocket. `attach` is called once and returns who listens. */
export function openWebSocketTransport(
  socket: WebSocket,
  remoteAddress: string,
  attach: (transport: Transport) => TransportEvents,
): void {
  const codec = socket.protocol === subprotocols.binary ? 'binary' : 'json'
  const transport: Transport = {
    kind: 'websocket',
    codec,
    remoteAddress,
    get bufferedBytes() {
      return socket.bufferedAmount
    },
    write: (data) => socket.send(data, flushed),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    end: (code) => {
      // A paused socket would never see the peer's close frame.
      socket.resume()
      socket.close(codes[code].code, code)
      setTimeout(() => socket.terminate(), END_TIMEOUT_MS).unref()
    },
    destroy: () => socket.terminate(),
  }
  const events = attach(transport)
  const flushed = (error?: Error | null) => {
    if (!error) events.flushed()
  }
  socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary !== (codec === 'binary')) events.failed('frame_malformed')
    else events.received(isBinary ? data : data.toString('utf8'))
  })
  socket.on('error', (error: Error & { code?: string }) => {
    const known = errorCodes[error.code as keyof typeof errorCodes]
    if (known !== undefined || error.code?.startsWith('WS_ERR_')) events.failed(known ?? 'frame_malformed')
  })
  socket.on('close', () => events.ended())
}
