import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'

/**
 * A way to a server on which an answer can get lost, so that the request was carried out and whoever asked does not know,
 * and on which a request can be late.
 */
export class LossyLink implements AsyncDisposable {
  readonly #server: Server
  #marker: string | undefined
  #late: { readonly marker: string; readonly held: () => void; readonly released: Promise<void> } | undefined

  /** @param port of the server, on 127.0.0.1 */
  static async start(port: number): Promise<LossyLink> {
    const link = new LossyLink(port)
    await once(link.#server.listen(0, '127.0.0.1'), 'listening')
    return link
  }

  private constructor(port: number) {
    this.#server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1')
      let losing = false
      client.on('data', (bytes) => {
        if (this.#marker !== undefined && bytes.includes(this.#marker)) {
          this.#marker = undefined
          losing = true
        }
        const late = this.#late
        if (late === undefined || !bytes.includes(late.marker)) {
          upstream.write(bytes)
          return
        }
        this.#late = undefined
        late.held()
        client.pause()
        void late.released.then(() => {
          upstream.write(bytes)
          client.resume()
        })
      })
      upstream.on('data', (bytes) => {
        if (losing) client.destroy()
        else client.write(bytes)
      })
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        socket.on('error', () => undefined)
        socket.on('close', () => other.destroy())
      }
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** The connection over which the next bytes with `marker` in them come breaks once the server has answered them. */
  loseAnswerTo(marker: string): void {
    this.#marker = marker
  }

  /** Holds the next bytes with `marker` in them, and what follows them, back until `release` is called. */
  holdBack(marker: string): { readonly held: Promise<void>; readonly release: () => void } {
    const held = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    this.#late = { marker, held: held.resolve, released: released.promise }
    return { held: held.promise, release: released.resolve }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await once(this.#server.close(), 'close')
  }
}
