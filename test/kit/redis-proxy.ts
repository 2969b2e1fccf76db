import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

const READS = new Set([
  'get',
  'hget',
  'hgetall',
  'scard',
  'sscan',
  'ping',
  'info',
  'client',
  'select',
  'function',
  'quit',
])

/** A way to a Redis that hands on one command at a time, and tells of each that may write, once it is handed on. */
export class RedisProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #upstreams = new Set<Socket>()
  /** Returning false cuts the connection: no later command gets through, and no answer. */
  onWrite: (command: readonly string[]) => boolean = () => true
  #holding = false

  private constructor(target: URL) {
    this.#server = createServer((client) => this.#accept(client, connect(Number(target.port), target.hostname)))
  }

  static async start(target: string): Promise<RedisProxy> {
    const proxy = new RedisProxy(new URL(target))
    await once(proxy.#server.listen(0, '127.0.0.1'), 'listening')
    return proxy
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Keeps every answer back until `release`. */
  hold(): void {
    this.#holding = true
    for (const upstream of this.#upstreams) upstream.pause()
  }

  release(): void {
    this.#holding = false
    for (const upstream of this.#upstreams) upstream.resume()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server.close(), 'close')
  }

  #accept(client: Socket, upstream: Socket): void {
    let pending: Buffer = Buffer.alloc(0)
    client.on('data', (bytes: Buffer) => {
      pending = Buffer.concat([pending, bytes])
      for (let found = takeCommand(pending); found !== undefined; found = takeCommand(pending)) {
        upstream.write(pending.subarray(0, found.size))
        pending = pending.subarray(found.size)
        if (READS.has(found.command[0]?.toLowerCase() ?? '') || this.onWrite(found.command)) continue
        client.destroy()
        return
      }
    })
    this.#upstreams.add(upstream)
    upstream.on('data', (bytes) => client.write(bytes))
    upstream.on('close', () => this.#upstreams.delete(upstream))
    if (this.#holding) upstream.pause()
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        // What was handed on is carried out.
        other.end()
      })
    }
  }
}

/** The first whole command of the bytes: an array of bulk strings (https://redis.io/docs/latest/develop/reference/protocol-spec/). */
export function takeCommand(bytes: Buffer): { command: string[]; size: number } | undefined {
  let at = 0
  const readNumber = (): number | undefined => {
    const end = bytes.indexOf('\r\n', at)
    if (end === -1) return undefined
    const number = Number(bytes.toString('latin1', at + 1, end))
    at = end + 2
    return number
  }
  const count = readNumber()
  if (count === undefined) return undefined
  const command: string[] = []
  while (command.length < count) {
    const length = readNumber()
    if (length === undefined || bytes.length < at + length + 2) return undefined
    command.push(bytes.toString('utf8', at, at + length))
    at += length + 2
  }
  return { command, size: at }
}
