import { connect as connectTcp, isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { OpenTransport } from './transport.ts'

/** The gateway's own default, for URLs without a port. */
const DEFAULT_PORT = 9000

/** Raw TCP (`tcp://host:port`) or TLS (`tls://host:port`). `ca`: PEM certificates to trust instead of the system's. */
export function buildTcpTransport({ ca }: { ca?: string | Uint8Array } = {}): OpenTransport {
  return (url, events) => {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
    const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
    const secure = url.protocol === 'tls:'
    const socket = secure
      ? connectTls({
          host,
          port,
          // RFC 6066, section 3: a server name is never an IP address.
          ...(isIP(host) ? {} : { servername: host }),
          ...(ca === undefined ? {} : { ca: typeof ca === 'string' ? ca : Buffer.from(ca) }),
        })
      : connectTcp({ host, port })
    socket.setNoDelay(true)
    let cause: unknown
    let destroyed = false
    let corked = false
    socket.on(secure ? 'secureConnect' : 'connect', () => events.opened())
    socket.on('data', (bytes: Buffer) => {
      if (!destroyed) events.data(bytes, false)
    })
    socket.on('error', (error) => {
      cause = error
    })
    socket.on('close', () => {
      if (!destroyed) events.closed(cause === undefined ? {} : { cause })
    })

    return {
      send(frame) {
        if (!socket.writable) return
        // What is sent within one turn leaves as one packet.
        if (!corked) {
          corked = true
          socket.cork()
          process.nextTick(() => {
            corked = false
            socket.uncork()
          })
        }
        socket.write(frame)
      },
      close() {
        socket.end()
      },
      destroy() {
        destroyed = true
        socket.destroy()
      },
    }
  }
}
