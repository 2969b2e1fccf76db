import { once } from 'node:events'
import { connect } from 'node:net'
import { nextTick } from 'node:process'
import { WebSocket } from 'ws'
import { parsePlace } from '../test/kit/servers/local-host.ts'
import { encodeBinary } from '../protocol/binary.ts'
import { FrameDecoder } from '../protocol/frame-decoder.ts'
import { subprotocols, type Frame } from '../protocol/frames.ts'

/** A connection of the load: as little work as can be, since it shares the machine with what is measured. */
export interface LoadConnection {
  /** Sends one frame: over WebSocket a message of its own. What one turn of the event loop sends is written at once. */
  send(frame: Frame): void
  close(): void
}

export interface LoadHandlers {
  onFrame(frame: Frame): void
  /** The connection is gone, and `close` was not called. */
  onLost(): void
}

const CONNECT_DEADLINE_MS = 20_000
/** Longer than any frame that a gateway sends here. */
const MAX_FRAME_BYTES = 1 << 20

/** Connects to a `tcp:` or `ws:` URL. Rejects when that takes over 20 s. */
export async function openConnection(url: string, handlers: LoadHandlers): Promise<LoadConnection> {
  const { protocol } = new URL(url)
  const signal = AbortSignal.timeout(CONNECT_DEADLINE_MS)
  const decoder = new FrameDecoder(MAX_FRAME_BYTES)
  const read = (chunk: Uint8Array) => {
    decoder.push(chunk)
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) handlers.onFrame(frame)
  }
  const socket = connect({ ...parsePlace(url), noDelay: true })
  let closed = false
  socket.on('close', () => closed || handlers.onLost())
  const cork = buildCork(socket)
  const close = () => {
    closed = true
    socket.destroy()
  }
  if (protocol === 'tcp:') {
    await once(socket, 'connect', { signal })
    socket.on('error', () => undefined)
    socket.on('data', read)
    return {
      send(frame) {
        cork()
        socket.write(encodeBinary(frame))
      },
      close,
    }
  }
  // A mask of zeros is as good as any on a loopback, and spares masking.
  const options = { perMessageDeflate: false, createConnection: () => socket, generateMask: () => undefined }
  const webSocket = new WebSocket(url, subprotocols.binary, options)
  webSocket.on('message', read)
  await once(webSocket, 'open', { signal })
  webSocket.on('error', () => undefined)
  return {
    send(frame) {
      cork()
      webSocket.send(encodeBinary(frame))
    },
    close,
  }
}

function buildCork(socket: { cork(): void; uncork(): void }): () => void {
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
