import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Address } from './raw-client.ts'

/** A way to a gateway that can be cut: what a network does to connections that both ends would keep. */
export class Proxy implements AsyncDisposable, Address {
  readonly #servers: readonly Server[]
  readonly #sockets: Set<Socket>

  private constructor(servers: readonly Server[], sockets: Set<Socket>) {
    this.#servers = servers
    this.#sockets = sockets
  }

  static async start({ tcpUrl, wsUrl }: Address): Promise<Proxy> {
    const sockets = new Set<Socket>()
    const servers = [tcpUrl, wsUrl].map((url) => createProxyServer(new URL(url), sockets))
    await Promise.all(servers.map((server) => once(server.listen(0, '127.0.0.1'), 'listening')))
    return new Proxy(servers, sockets)
  }

  get tcpUrl(): string {
    return `tcp://127.0.0.1:${portOf(this.#servers[0])}`
  }

  get wsUrl(): string {
    return `ws://127.0.0.1:${portOf(this.#servers[1])}`
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

function portOf(server: Server | undefined): number {
  return (server?.address() as AddressInfo).port
}
