import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { nextTick } from 'node:process'
import { WebSocket } from 'ws'
import { parsePlace } from '../../../test/kit/servers/local-host.ts'
import { CONNECT_DEADLINE_MS } from './wire.ts'

/** A connection over which bytes or texts go. What one turn of the event loop sends is written at once. */
export interface LoadSocket {
  /** Over WebSocket a message of its own. */
  readonly send: (data: Uint8Array | string) => void
  readonly close: () => void
}

export interface SocketHandlers {
  /** Over WebSocket one whole message, of TCP what has come. */
  onData(data: Buffer, socket: LoadSocket): void
  /** The connection is gone, and `close` was not called. */
  onLost(): void
}

/** Connects to a `tcp:` or `ws:` URL. Rejects when that takes over 20 s. */
export async function openSocket(
  url: string,
  handlers: SocketHandlers,
  subprotocols: string[] = [],
): Promise<LoadSocket> {
  const signal = AbortSignal.timeout(CONNECT_DEADLINE_MS)
  const socket = connect({ ...parsePlace(url), noDelay: true })
  let closed = false
  socket.on('close', () => closed || handlers.onLost())
  const cork = buildCork(socket)
  const close = () => {
    closed = true
    socket.destroy()
  }
  try {
    if (new URL(url).protocol !== 'tcp:') {
      return await openWebSocket(url, subprotocols, socket, handlers, { cork, close, signal })
    }
    await once(socket, 'connect', { signal })
  } catch (error) {
    close()
    throw error
  }
  const opened: LoadSocket = {
    send(data) {
      cork()
      socket.write(data)
    },
    close,
  }
  socket.on('error', () => undefined)
  socket.on('data', (data: Buffer) => handlers.onData(data, opened))
  return opened
}

async function openWebSocket(
  url: string,
  subprotocols: string[],
  socket: Socket,
  handlers: SocketHandlers,
  { cork, close, signal }: { cork: () => void; close: () => void; signal: AbortSignal },
): Promise<LoadSocket> {
  // A mask of zeros is as good as any on a loopback, and spares masking.
  const options = { perMessageDeflate: false, createConnection: () => socket, generateMask: () => undefined }
  const webSocket = new WebSocket(url, subprotocols, options)
  const opened: LoadSocket = {
    send(data) {
      cork()
      webSocket.send(data)
    },
    close,
  }
  // Before it is open: what comes with the upgrade is not missed.
  webSocket.on('message', (data: Buffer) => handlers.onData(data, opened))
  await once(webSocket, 'open', { signal })
  webSocket.on('error', () => undefined)
  return opened
}

function buildCork(socket: Socket): () => void {
  let corked = false
  const uncork = () => {
    corked = false
    socket.uncork()
  }
  return () => {
    if (corked) return
    corked = true
    socket.cork()
    nextTick(uncork)
  }
}
