import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** What the proxy does with bytes and connections. */
type Mode = 'pass' | 'blackhole' | 'refuse'

/** A TCP proxy in front of a server: counts connections, cuts them, swallows what goes through them, slows them down. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #mode: Mode = 'pass'
  #delayMs = 0
  /** Connections accepted so far. */
  accepted = 0

  private constructor(host: string, port: number) {
    this.#server = createServer((near) => this.#accept(near, connect({ host, port })))
  }

  static async start(target: URL): Promise<TcpProxy> {
    const proxy = new TcpProxy(target.hostname, Number(target.port))
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Connections open now. */
  get open(): number {
    return this.#pairs.size
  }

  /** Bytes pass again. A connection that lost bytes meanwhile is cut, since a network would not mend it. */
  pass(): void {
    if (this.#mode === 'blackhole') this.cut()
    this.#mode = 'pass'
    this.#delayMs = 0
  }

  /** Connections stay open and new ones are accepted, but nothing comes through. */
  blackhole(): void {
    this.#mode = 'blackhole'
  }

  /** New connections are cut at once; those that are open stay. */
  refuse(): void {
    this.#mode = 'refuse'
  }

  /** Every piece comes through later. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** Cuts all connections. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.cut()
    await once(this.#server, 'close')
  }

  #accept(near: Socket, far: Socket): void {
    this.accepted += 1
    const pair = [near, far] as const
    this.#pairs.add(pair)
    if (this.#mode === 'refuse') near.resetAndDestroy()
    this.#join(near, far, pair)
    this.#join(far, near, pair)
  }

  #join(from: Socket, to: Socket, pair: readonly [Socket, Socket]): void {
    from.on('data', (chunk) => {
      if (this.#mode === 'blackhole') return
      if (this.#delayMs === 0) to.write(chunk)
      else setTimeout(() => this.#mode !== 'blackhole' && to.writable && to.write(chunk), this.#delayMs).unref()
    })
    from.on('error', () => undefined)
    from.on('close', () => {
      this.#pairs.delete(pair)
      to.destroy()
    })
  }
}
