import { subprotocols } from '../protocol/frames.ts'
import type { OpenTransport } from './transport.ts'

/** RFC 6455, section 7.4.1: a normal end. */
const NORMAL = 1000

/** WebSocket over the global `WebSocket` of browsers and Node, with the binary subprotocol. */
export const openWebSocketTransport: OpenTransport = (url, events) => {
  const socket = new WebSocket(url, subprotocols.binary)
  socket.binaryType = 'arraybuffer'
  const listeners = new AbortController()
  const { signal } = listeners
  let failure: unknown

  const end = (reason: Parameters<typeof events.closed>[0]) => {
    if (signal.aborted) return
    listeners.abort()
    events.closed(reason)
  }
  // A server that does not speak the subprotocol never gets this far: the WebSocket fails by itself.
  socket.addEventListener('open', () => events.opened(), { signal })
  socket.addEventListener(
    'message',
    ({ data }: { data: unknown }) => {
      if (data instanceof ArrayBuffer) events.data(new Uint8Array(data), true)
      else {
        socket.close(NORMAL)
        end({ cause: new Error('the server sent a text message in the binary subprotocol') })
      }
    },
    { signal },
  )
  socket.addEventListener(
    'error',
    (event) => {
      failure = 'error' in event ? event.error : undefined
    },
    { signal },
  )
  socket.addEventListener(
    'close',
    ({ code, reason }) => end({ number: code, reason, ...(failure === undefined ? {} : { cause: failure }) }),
    { signal },
  )

  return {
    send(frame) {
      if (socket.readyState === WebSocket.OPEN) socket.send(frame)
    },
    close() {
      socket.close(NORMAL)
    },
    destroy() {
      // There is no way to drop a WebSocket: the handshake of its end goes on unheard.
      listeners.abort()
      socket.close(NORMAL)
    },
  }
}
