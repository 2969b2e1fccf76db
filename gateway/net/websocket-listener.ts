import { createServer, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import { subprotocols } from '../../protocol/frames.ts'
import { createFewATurn } from './few-a-turn.ts'
import type { Accepted } from './listener.ts'
import type { Metrics } from '../metrics.ts'

/** Upgrades in one turn of the event loop: about two milliseconds. */
const UPGRADES_A_TURN = 16

const accepted = new WeakMap<Duplex, Accepted>()

/**
 * The HTTP part of the WebSocket port: upgrades what a listener accepted. It never listens itself, so that raw TCP and
 * WebSocket share one way through admission and TLS.
 */
export function createWebSocketUpgrade(
  maxPayload: number,
  metrics: Metrics,
  opened: (socket: WebSocket, from: Accepted) => void,
): (from: Accepted) => void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // The transport looks at it itself, to answer with a code of the protocol.
    skipUTF8Validation: true,
    maxPayload,
    handleProtocols: (offered) => {
      const known = Object.values(subprotocols).find((subprotocol) => offered.has(subprotocol))
      return known ?? false
    },
  })
  const fewATurn = createFewATurn(UPGRADES_A_TURN)
  const refuse = (stream: Duplex) => {
    if (!stream.writable) return
    metrics.httpRefused.inc({ status: 400 })
    stream.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
  }
  const http = createServer({ maxHeaderSize: 16_384 }, (_request, response) => {
    metrics.httpRefused.inc({ status: 426 })
    response.writeHead(426, { connection: 'close', upgrade: 'websocket', 'content-type': 'text/plain' })
    response.end(`connect with a WebSocket client; subprotocols: ${Object.values(subprotocols).join(', ')}\n`)
  })
  http.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    const from = accepted.get(stream)
    const offered = request.headers['sec-websocket-protocol']
    if (from === undefined || (offered !== undefined && !offersKnown(offered))) refuse(stream)
    else fewATurn(() => sockets.handleUpgrade(request, stream, head, (socket) => opened(socket, from)))
  })
  sockets.on('wsClientError', (_error, stream) => refuse(stream))
  http.on('clientError', (_error, stream) => refuse(stream))
  return (from) => {
    accepted.set(from.stream, from)
    http.emit('connection', from.stream)
  }
}

function offersKnown(offered: string): boolean {
  const names = offered.split(',').map((name) => name.trim())
  return Object.values(subprotocols).some((subprotocol) => names.includes(subprotocol))
}
