import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** How a link is cut: connections are closed, and new ones at once as well; or nothing passes and nobody is told. */
export type Cut = 'refusing' | 'silent'

/** One gateway's own way to Redis or NATS, which can be cut and mended. */
export class CutLink implements AsyncDisposable {
  readonly #server: Server
  readonly #pairs = new Set<readonly [client: Socket, upstream: Socket]>()
  #cut: Cut | undefined

  private constructor(port: number) {
    this.#server = createServer((client) => {
      client.on('error', () => undefined)
      if (this.#cut === 'refusing') {
        client.destroy()
        return
      }
      const pair = [client, connect(port, '127.0.0.1')] as const
      this.#pairs.add(pair)
      for (const [from, to] of [pair, pair.toReversed() as [Socket, Socket]]) {
        from.on('error', () => undefined)
        from.on('close', () => {
          this.#pairs.delete(pair)
          to.destroy()
        })
        from.on('data', (bytes) => to.write(bytes))
        if (this.#cut === 'silent') from.pause()
      }
    })
  }

  /** @param port of the server, on 127.0.0.1 */
  static async start(port: number): Promise<CutLink> {
    const link = new CutLink(port)
    await once(link.#server.listen(0, '127.0.0.1'), 'listening')
    return link
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  cut(how: Cut): void {
    this.#cut = how
    for (const socket of [...this.#pairs].flat()) {
      if (how === 'silent') socket.pause()
      else socket.destroy()
    }
  }

  mend(): void {
    this.#cut = undefined
    for (const pair of this.#pairs) for (const socket of pair) socket.resume()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut('refusing')
    await once(this.#server.close(), 'close')
  }
}
