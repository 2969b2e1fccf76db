import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Address } from './raw-login.ts'

/** A way to a gateway that can be cut: what a network does to connections that both ends would keep. */
export class Proxy implements AsyncDisposable, Address {
  readonly tcpUrl: string
  readonly wsUrl: string
  readonly #servers: readonly Server[]
  readonly #sockets: Set<Socket>

  private constructor(tcp: Server, ws: Server, sockets: Set<Socket>) {
    this.tcpUrl = `tcp://127.0.0.1:${portOf(tcp)}`
    this.wsUrl = `ws://127.0.0.1:${portOf(ws)}`
    this.#servers = [tcp, ws]
    this.#sockets = sockets
  }

  static async start({ tcpUrl, wsUrl }: Address): Promise<Proxy> {
    const sockets = new Set<Socket>()
    const tcp = createProxyServer(new URL(tcpUrl), sockets)
    const ws = createProxyServer(new URL(wsUrl), sockets)
    await Promise.all([tcp, ws].map((server) => once(server.listen(0, '127.0.0.1'), 'listening')))
    return new Proxy(tcp, ws, sockets)
  }

  /** Breaks those connections for which `choose` says so. */
  cut(choose: () => boolean): void {
    for (const socket of this.#sockets) if (choose()) socket.resetAndDestroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut(() => true)
    await Promise.all(this.#servers.map((server) => once(server.close(), 'close')))
  }
}

function createProxyServer(target: URL, sockets: Set<Socket>): Server {
  return createServer((client) => {
    const gateway = connect(Number(target.port), target.hostname)
    for (const [from, to] of [
      [client, gateway],
      [gateway, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => undefined)
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
