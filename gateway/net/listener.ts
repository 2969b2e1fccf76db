import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { buildListenOptions, explainListenError } from '../../server/address.ts'
import type { Admission, Newcomer } from './admission.ts'
import { GatewayError } from '../errors.ts'
import type { Metrics } from '../metrics.ts'
import type { TlsCredentials } from './tls-credentials.ts'

/** Those whom the system keeps until they are accepted, one in each turn of the event loop: as many as it allows itself. */
const BACKLOG = 65_535
/** Finds a peer that vanished without a word, also before any time-out of ours applies. */
const KEEP_ALIVE_MS = 60_000

/** An accepted stream, TLS already taken off. */
export interface Accepted {
  readonly stream: Duplex
  readonly newcomer: Newcomer
}

/** Listens on a port and hands on every stream, after the TLS handshake where there are credentials. */
export class Listener {
  readonly #server: Server

  constructor(
    admission: Admission,
    tls: TlsCredentials | undefined,
    metrics: Metrics,
    accept: (accepted: Accepted) => void,
  ) {
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, (socket) => {
      const destroy = () => void socket.destroy()
      const newcomer = admission.admit((code) => {
        metrics.closes.inc({ code })
        destroy()
      }, destroy)
      socket.once('close', () => newcomer.leave())
      socket.on('error', () => socket.destroy())
      if (tls === undefined) accept({ stream: socket, newcomer })
      else handshake(socket, tls, metrics, (stream) => accept({ stream, newcomer }))
    })
  }

  /**
   * @param host every address when empty
   * @returns the port, which the system chose when asked for 0
   * @throws GatewayError LISTEN_FAILED that names the port and the setting
   */
  async listen(host: string, port: number, settingName: string): Promise<number> {
    if (this.#server.listening) return port
    this.#server.listen({ ...buildListenOptions(host, port), backlog: BACKLOG })
    try {
      await once(this.#server, 'listening')
    } catch (cause) {
      throw listenError(cause, host, port, settingName)
    }
    return (this.#server.address() as AddressInfo).port
  }

  /** Accepts no more; what was accepted stays. */
  close(): void {
    this.#server.close()
  }
}

/** What went wrong when a port could not be listened on, and which setting chooses it. */
export function listenError(cause: unknown, host: string, port: number, settingName: string): GatewayError {
  const message = explainListenError(cause, [host, port], { host: 'IM_LISTEN_HOST', port: settingName })
  return new GatewayError('LISTEN_FAILED', message, { cause, retryable: false })
}

function handshake(socket: Socket, tls: TlsCredentials, metrics: Metrics, done: (stream: Duplex) => void): void {
  const secure = new TLSSocket(socket, { isServer: true, secureContext: tls.context })
  const failed = () => {
    metrics.tlsErrors.inc()
    socket.destroy()
  }
  secure.once('error', failed)
  secure.once('secure', () => {
    secure.removeListener('error', failed)
    secure.on('error', () => socket.destroy())
    done(secure)
  })
}
