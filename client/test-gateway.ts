import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { finished } from 'node:stream/promises'
import { createServer as createTlsServer } from 'node:tls'
import { WebSocketServer, type WebSocket } from 'ws'
import { encodeBinary } from '../protocol/binary.ts'
import { FrameDecoder } from '../protocol/frame-decoder.ts'
import { subprotocols, type Frame, type FrameOf, type FrameType, type GatewayFrame } from '../protocol/frames.ts'

const WAIT_MS = 60_000
const MAX_FRAME_BYTES = 70_000

/** What a scripted gateway grants at a login, where the defaults do not fit. */
export type Grant = Partial<Omit<FrameOf<'loggedIn'>, 'type' | 'requestId'>>

/** The gateway's end of one connection, for tests that need a gateway to do what a real one cannot be made to do. */
export class ScriptedConnection {
  readonly closed: Promise<void>
  /** Frames that came and were not taken yet; pings are left out. */
  readonly #frames: Frame[] = []
  readonly #wake = new Set<() => void>()
  readonly #decoder = new FrameDecoder(MAX_FRAME_BYTES)
  readonly #write: (bytes: Uint8Array) => void
  readonly #end: (code?: number) => void
  readonly #destroy: () => void
  /** Whether pings are answered. */
  pongs = true
  pings = 0
  open = true

  constructor(
    write: (bytes: Uint8Array) => void,
    end: (code?: number) => void,
    destroy: () => void,
    closed: Promise<unknown>,
  ) {
    this.#write = write
    this.#end = end
    this.#destroy = destroy
    this.closed = closed.then(() => {
      this.open = false
    })
  }

  received(bytes: Uint8Array): void {
    this.#decoder.push(bytes)
    for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) {
      if (frame.type === 'ping') {
        this.pings += 1
        if (this.pongs) this.send({ type: 'pong' })
      } else this.#frames.push(frame)
    }
    for (const wake of this.#wake) wake()
  }

  /** The next frame of the type; frames of other types stay. Rejects when none comes within a minute. */
  async next<Type extends FrameType>(type: Type): Promise<FrameOf<Type>> {
    const deadline = AbortSignal.timeout(WAIT_MS)
    for (;;) {
      const at = this.#frames.findIndex((frame) => frame.type === type)
      if (at !== -1) return this.#frames.splice(at, 1)[0] as FrameOf<Type>
      if (deadline.aborted || !this.open)
        throw new Error(`no ${type} came; waiting: ${this.#frames.map((frame) => frame.type).join(' ')}`)
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#wake.delete(wake)
          resolve()
        }
        this.#wake.add(wake)
        deadline.addEventListener('abort', wake, { once: true })
        void this.closed.then(wake)
      })
    }
  }

  /** Frames that came and were not taken. */
  get waiting(): readonly FrameType[] {
    return this.#frames.map((frame) => frame.type)
  }

  send(...frames: GatewayFrame[]): void {
    // One write, so that the frames arrive together.
    this.#write(Buffer.concat(frames.map((frame) => encodeBinary(frame))))
  }

  sendRaw(bytes: Uint8Array): void {
    this.#write(bytes)
  }

  /** Takes the login and answers it. */
  async admit(grant: Grant = {}): Promise<FrameOf<'login'>> {
    const login = await this.next('login')
    this.send(buildLoggedIn(login, grant))
    return login
  }

  message(seq: number, text = `m${seq}`): void {
    this.send(buildMessage(seq, text))
  }

  /** Takes a send and accepts it. */
  async accept(seq: number, duplicate = false): Promise<FrameOf<'send'>> {
    const send = await this.next('send')
    this.send({ type: 'accepted', requestId: send.requestId, seq, sentAt: 1_000 + seq, duplicate })
    return send
  }

  async refuse(code: number): Promise<FrameOf<'send'>> {
    const send = await this.next('send')
    this.send({ type: 'error', requestId: send.requestId, code, message: '' })
    return send
  }

  /** Ends the connection as a gateway does. */
  close(code: number, clientType = 255): void {
    this.send({ type: 'close', code, message: `code ${code}`, clientType })
    this.#end(code)
  }

  /** Ends the connection without a word. */
  destroy(): void {
    this.#destroy()
  }
}

export function buildLoggedIn(login: FrameOf<'login'>, grant: Grant = {}): FrameOf<'loggedIn'> {
  return {
    type: 'loggedIn',
    requestId: login.requestId,
    appId: 1,
    userId: 'alice',
    connectionId: 'c',
    brokerId: 'gw-0',
    epoch: login.epoch || 'e1',
    seq: login.seq,
    head: login.seq,
    heartbeatMs: 60_000,
    expiresAt: 0,
    maxFrameBytes: 65_536,
    ...grant,
  }
}

export function buildMessage(seq: number, text = `m${seq}`): FrameOf<'message'> {
  const payload = new TextEncoder().encode(text)
  return {
    type: 'message',
    stream: 'inbox',
    seq,
    from: 'bob',
    clientType: 1,
    messageId: `id${seq}`,
    sentAt: 1,
    payload,
  }
}

/** A server that takes connections over TCP, TLS or WebSocket and leaves what happens on them to the test. */
export class ScriptedGateway implements AsyncDisposable {
  readonly url: string
  readonly #server: Server
  readonly #accepted: ScriptedConnection[] = []
  readonly #wake = new Set<() => void>()
  readonly #sockets = new Set<Socket>()
  /** Connections accepted so far. */
  count = 0

  private constructor(server: Server, url: string) {
    this.#server = server
    this.url = url
  }

  static async start(
    kind: 'tcp' | 'tls' | 'ws' = 'tcp',
    credentials: { key?: string; cert?: string } = {},
  ): Promise<ScriptedGateway> {
    const server = kind === 'tls' ? createTlsServer(credentials) : createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const host = kind === 'tls' ? 'localhost' : '127.0.0.1'
    const gateway = new ScriptedGateway(server, `${kind}://${host}:${address.port}`)
    if (kind === 'ws') gateway.#acceptWebSockets(server)
    else server.on(kind === 'tls' ? 'secureConnection' : 'connection', (socket: Socket) => gateway.#acceptTcp(socket))
    return gateway
  }

  /** The next connection that was accepted. Rejects when none comes within a minute. */
  async connection(): Promise<ScriptedConnection> {
    const deadline = AbortSignal.timeout(WAIT_MS)
    for (;;) {
      const connection = this.#accepted.shift()
      if (connection) return connection
      if (deadline.aborted) throw new Error('no connection came')
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#wake.delete(wake)
          resolve()
        }
        this.#wake.add(wake)
        deadline.addEventListener('abort', wake, { once: true })
      })
    }
  }

  /** The next connection, logged in. */
  async admit(grant: Grant = {}): Promise<ScriptedConnection & { login: FrameOf<'login'> }> {
    const connection = await this.connection()
    return Object.assign(connection, { login: await connection.admit(grant) })
  }

  /** Listens no more; connections stay. */
  stopListening(): void {
    this.#server.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }

  #acceptTcp(socket: Socket): void {
    this.#track(socket)
    const connection = new ScriptedConnection(
      (bytes) => socket.write(bytes),
      () => socket.end(),
      () => socket.destroy(),
      finished(socket).catch(() => {}),
    )
    socket.on('data', (bytes: Buffer) => connection.received(bytes))
    this.#hand(connection)
  }

  #acceptWebSockets(server: Server): void {
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => subprotocols.binary })
    const http = createHttpServer()
    http.on('upgrade', (request, stream, head) => {
      sockets.handleUpgrade(request, stream, head, (socket: WebSocket) => {
        const connection = new ScriptedConnection(
          (bytes) => socket.send(bytes),
          (code) => socket.close(code ?? 1000),
          () => socket.terminate(),
          once(socket, 'close'),
        )
        socket.on('message', (bytes: Buffer) => connection.received(bytes))
        this.#hand(connection)
      })
    })
    server.on('connection', (socket: Socket) => {
      this.#track(socket)
      http.emit('connection', socket)
    })
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
  }

  #hand(connection: ScriptedConnection): void {
    this.count += 1
    this.#accepted.push(connection)
    for (const wake of this.#wake) wake()
  }
}
