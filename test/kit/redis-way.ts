import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { takeCommand } from './redis-proxy.ts'
import { splitReplies } from './redis-replies.ts'

/** What a client hears of commands that were on their way when the server behind the proxy was lost. */
const LOST = Buffer.from('-LOADING the server behind the proxy was lost\r\n')
const RETRY_MS = 20

export interface RedisWayOptions {
  /** Whether clients' connections outlive the server's end, as behind a service's own proxy. By default they do not. */
  readonly hiding?: boolean
}

/**
 * A way to a Redis: a TCP proxy that understands whole commands and replies. It can be held, so that whoever takes it gets
 * to Redis later than others. A hiding one keeps its clients when the server ends or is replaced: commands wait until a
 * server is there, and those without an answer are answered with an error; no part of an old answer comes after that.
 */
export class RedisWay implements AsyncDisposable {
  readonly #server: Server
  readonly #lanes = new Set<Lane>()
  #held = false
  #target: URL

  private constructor(target: URL, { hiding = false }: RedisWayOptions) {
    this.#target = target
    this.#server = createServer((client) => {
      const lane = new Lane(client, () => this.#target, hiding)
      this.#lanes.add(lane)
      client.on('close', () => this.#lanes.delete(lane))
      if (!this.#held) lane.open()
    })
  }

  /** @param target URL of a single Redis, like `redis://127.0.0.1:6379` */
  static async start(target: string, options: RedisWayOptions = {}): Promise<RedisWay> {
    const way = new RedisWay(new URL(target), options)
    await once(way.#server.listen(0, '127.0.0.1'), 'listening')
    return way
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Lets no command through until `release`; new connections are taken, and wait as well. */
  hold(): void {
    this.#held = true
    for (const lane of this.#lanes) lane.hold()
  }

  release(): void {
    this.#held = false
    for (const lane of this.#lanes) lane.open()
  }

  /** Leads to another server from now on. The connections to the former one end. */
  retarget(target: string): void {
    this.#target = new URL(target)
    for (const lane of this.#lanes) lane.leave()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lane of this.#lanes) lane.end()
    await once(this.#server.close(), 'close')
  }
}

/** One client's connection, and the one to the server that takes its commands now. */
class Lane {
  readonly #client: Socket
  readonly #target: () => URL
  readonly #hiding: boolean
  #upstream: Socket | undefined
  #connected = false
  #held = true
  /** Of the client, less than a command. */
  #rest: Buffer = Buffer.alloc(0)
  readonly #waiting: Buffer[] = []
  /** Commands handed on and not answered. */
  #unanswered = 0

  constructor(client: Socket, target: () => URL, hiding: boolean) {
    this.#client = client
    this.#target = target
    this.#hiding = hiding
    client.on('data', (bytes: Buffer) => this.#take(bytes))
    client.on('error', () => undefined)
    client.on('close', () => this.#upstream?.destroy())
  }

  hold(): void {
    this.#held = true
  }

  open(): void {
    this.#held = false
    if (this.#upstream === undefined) this.#connect()
    this.#flush()
  }

  /** Gives the server up. */
  leave(): void {
    this.#upstream?.destroy()
  }

  end(): void {
    this.#client.destroy()
  }

  #take(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    for (let found = takeCommand(this.#rest); found !== undefined; found = takeCommand(this.#rest)) {
      this.#waiting.push(this.#rest.subarray(0, found.size))
      this.#rest = this.#rest.subarray(found.size)
    }
    this.#flush()
  }

  #flush(): void {
    if (this.#held || !this.#connected) return
    for (const command of this.#waiting.splice(0)) {
      this.#unanswered += 1
      this.#upstream?.write(command)
    }
  }

  #connect(): void {
    const { port, hostname } = this.#target()
    const upstream = connect(Number(port), hostname)
    let partial: Buffer = Buffer.alloc(0)
    this.#upstream = upstream
    upstream.on('connect', () => {
      this.#connected = true
      this.#flush()
    })
    upstream.on('data', (bytes: Buffer) => {
      if (this.#upstream !== upstream) return
      const { replies, rest } = splitReplies(Buffer.concat([partial, bytes]))
      partial = rest
      this.#unanswered -= replies.length
      for (const reply of replies) this.#client.write(reply)
    })
    upstream.on('error', () => undefined)
    upstream.on('close', () => this.#lose())
  }

  #lose(): void {
    this.#upstream = undefined
    this.#connected = false
    if (!this.#hiding) this.#client.destroy()
    for (; this.#unanswered > 0; this.#unanswered -= 1) this.#client.write(LOST)
    if (this.#client.destroyed) return
    setTimeout(() => {
      if (!this.#client.destroyed && this.#upstream === undefined) this.#connect()
    }, RETRY_MS)
  }
}
