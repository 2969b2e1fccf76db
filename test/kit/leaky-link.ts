import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

const LINE_END = '\r\n'

/**
 * One gateway's own way to NATS, on which single messages to brokers get lost, as they do between servers of NATS, and nobody is
 * told: the connection goes on.
 */
export class LeakyLink implements AsyncDisposable {
  readonly #server: Server
  readonly #clients = new Set<Socket>()
  #drops: (brokerId: string) => boolean = () => false
  /** Brokers to which messages were lost so far. */
  readonly lost: string[] = []

  private constructor(port: number) {
    this.#server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1')
      this.#clients.add(client)
      client.on('close', () => this.#clients.delete(client))
      let rest: Buffer = Buffer.alloc(0)
      client.on('data', (bytes: Buffer) => {
        rest = Buffer.concat([rest, bytes])
        for (let command = takeCommand(rest); command !== undefined; command = takeCommand(rest)) {
          rest = rest.subarray(command.length)
          if (!this.#isLost(command)) upstream.write(command)
        }
      })
      upstream.on('data', (bytes) => client.write(bytes))
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        socket.on('error', () => undefined)
        socket.on('close', () => other.destroy())
      }
    })
  }

  /** @param port of the server, on 127.0.0.1 */
  static async start(port: number): Promise<LeakyLink> {
    const link = new LeakyLink(port)
    await once(link.#server.listen(0, '127.0.0.1'), 'listening')
    return link
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** From now on those messages to brokers are lost for which `drops` says so. */
  lose(drops: (brokerId: string) => boolean): void {
    this.#drops = drops
  }

  #isLost(command: Buffer): boolean {
    const lineEnd = command.indexOf(LINE_END)
    const [, brokerId] = /^PUB broker\.(\S+) /.exec(command.toString('latin1', 0, lineEnd)) ?? []
    if (brokerId === undefined || !this.#drops(brokerId)) return false
    this.lost.push(brokerId)
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy()
    await once(this.#server.close(), 'close')
  }
}

/** The first command of a client of NATS: a line, and after PUB so many bytes as it ends with. */
function takeCommand(bytes: Buffer): Buffer | undefined {
  const lineEnd = bytes.indexOf(LINE_END)
  if (lineEnd === -1) return undefined
  let end = lineEnd + LINE_END.length
  const [, size] = /^PUB .* (\d+)$/.exec(bytes.toString('latin1', 0, lineEnd)) ?? []
  if (size !== undefined) end += Number(size) + LINE_END.length
  return bytes.length < end ? undefined : bytes.subarray(0, end)
}
