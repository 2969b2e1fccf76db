import { connect as connectTcp } from 'node:net'
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { createLineLog } from '../../dev/line-log.ts'
import { encodeBinary } from '../../protocol/binary.ts'
import { codeName } from '../../protocol/codes.ts'
import { FrameDecoder } from '../../protocol/frame-decoder.ts'
import { subprotocols, type ClientFrame, type Frame, type FrameOf, type FrameType } from '../../protocol/frames.ts'
import { decodeJson, encodeJson } from '../../protocol/json.ts'
import { inTime, PATIENCE_MS } from './wait.ts'

/** The ways to a gateway: raw TCP, and WebSocket with either subprotocol. */
export const wires = ['tcp', 'binary', 'json'] as const
export type Wire = (typeof wires)[number]

/** Where a gateway listens. */
export interface Address {
  readonly tcpUrl: string
  readonly wsUrl: string
}

export interface RawLogin {
  readonly user: string
  readonly app?: number
  readonly clientType?: number
  readonly imei?: string
  readonly cursor?: { readonly epoch: string; readonly seq: number }
}

const MAX_FRAME_BYTES = 1 << 20
const NEVER_CLOSED = 'open'

interface Pipe {
  write(frames: readonly Frame[]): void
  destroy(): void
}

/**
 * One connection that speaks the protocol and does nothing by itself: no ping, no acknowledgement, no reconnect. For what
 * the SDK would hide.
 */
export class RawClient implements AsyncDisposable {
  readonly #log = createLineLog<Frame>(Infinity)
  readonly #ended = Promise.withResolvers<string>()
  #pipe: Pipe | undefined
  #lastRequestId = 0
  #code: string = NEVER_CLOSED

  /** Connects to a gateway. */
  static async open(address: Address, wire: Wire = 'tcp'): Promise<RawClient> {
    const client = new RawClient()
    client.#pipe = wire === 'tcp' ? await client.#openTcp(address) : await client.#openWebSocket(address, wire)
    return client
  }

  /** Connects and logs in. */
  static async login(address: Address, login: RawLogin, wire?: Wire): Promise<RawClient> {
    const client = await RawClient.open(address, wire)
    await client.login(login)
    return client
  }

  /** Every frame that came, in order. */
  get frames(): readonly Frame[] {
    return this.#log.entries
  }

  framesOf<Type extends FrameType>(type: Type): FrameOf<Type>[] {
    return this.frames.filter((frame): frame is FrameOf<Type> => frame.type === type)
  }

  /** Empty before the login. */
  get connectionId(): string {
    return this.framesOf('loggedIn')[0]?.connectionId ?? ''
  }

  /** Payloads of the messages that came, as text, in order. */
  get texts(): string[] {
    return this.framesOf('message').map(({ payload }) => Buffer.from(payload).toString())
  }

  /** The name of the code with which the gateway closed the connection, `lost` without one, and `open` until then. */
  get ending(): string {
    return this.#code
  }

  /** Resolves with `ending` when the connection is over. */
  async ended(): Promise<string> {
    return inTime('the end of the connection', this.#ended.promise)
  }

  /** Writes frames in one piece. */
  write(...frames: ClientFrame[]): void {
    this.#pipe?.write(frames)
  }

  /** Resolves with the first frame of the type, past or future, that satisfies `predicate`. */
  async waitFor<Type extends FrameType>(
    type: Type,
    predicate: (frame: FrameOf<Type>) => boolean = () => true,
    timeoutMs = PATIENCE_MS,
  ): Promise<FrameOf<Type>> {
    const fits = (frame: Frame): frame is FrameOf<Type> => frame.type === type && predicate(frame as FrameOf<Type>)
    const found = await this.#log.waitFor(
      fits,
      timeoutMs,
      () => new Error(`no fitting ${type} within ${timeoutMs} ms; there came ${this.#describe()}`),
    )
    return found as FrameOf<Type>
  }

  /** Rejects with the name of the code when the gateway closes the connection instead. */
  async login(login: RawLogin): Promise<FrameOf<'loggedIn'>> {
    const { user, app = 1, clientType = 1, imei = 'browser', cursor = { epoch: '', seq: 0 } } = login
    const requestId = this.#nextId()
    const token = `${app}:${user}`
    this.write({ type: 'login', requestId, token, clientType, imei, version: '', start: 'earliest', ...cursor })
    return this.waitFor('loggedIn', (frame) => frame.requestId === requestId)
  }

  /** Sends a message; resolves with its acceptance or its refusal. */
  async send(to: string, text: string, { durable = true } = {}): Promise<FrameOf<'accepted'> | FrameOf<'error'>> {
    const frame = this.buildSend(to, text, { durable })
    this.write(frame)
    return this.answerTo(frame.requestId)
  }

  /** A `send` with ids of its own. */
  buildSend(to: string, text: string, { durable = true } = {}): FrameOf<'send'> {
    const requestId = this.#nextId()
    const messageId = `${requestId}-${Math.random()}`
    return { type: 'send', requestId, messageId, to, durable, payload: new TextEncoder().encode(text) }
  }

  async answerTo(id: number): Promise<FrameOf<'accepted'> | FrameOf<'error'>> {
    return this.#log.waitFor(
      (frame) => (frame.type === 'accepted' || frame.type === 'error') && frame.requestId === id,
      PATIENCE_MS,
      () => new Error(`no answer to request ${id}; there came ${this.#describe()}`),
    ) as Promise<FrameOf<'accepted'> | FrameOf<'error'>>
  }

  /** The users of those given who are online. */
  async online(...userIds: string[]): Promise<string[]> {
    const requestId = this.#nextId()
    this.write({ type: 'presence', requestId, userIds })
    const { users } = await this.waitFor('presenceState', (frame) => frame.requestId === requestId)
    return users.filter(({ clientTypes }) => clientTypes.length > 0).map(({ userId }) => userId)
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.#pipe?.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.destroy()
    await this.ended()
  }

  #nextId(): number {
    this.#lastRequestId += 1
    return this.#lastRequestId
  }

  #describe(): string {
    return this.frames.map(({ type }) => type).join(' ') || 'nothing'
  }

  #take(frame: Frame): void {
    if (frame.type === 'close') this.#code = codeName(frame.code) ?? String(frame.code)
    this.#log.add(frame)
  }

  #over(): void {
    if (this.#code === NEVER_CLOSED) this.#code = 'lost'
    this.#log.end(() => new Error(`the connection ended with ${this.#code}; there came ${this.#describe()}`))
    this.#ended.resolve(this.#code)
  }

  async #openTcp({ tcpUrl }: Address): Promise<Pipe> {
    const { hostname, port } = new URL(tcpUrl)
    const socket = connectTcp({ host: hostname, port: Number(port), noDelay: true })
    await once(socket, 'connect')
    const decoder = new FrameDecoder(MAX_FRAME_BYTES)
    socket.on('data', (bytes: Buffer) => {
      decoder.push(bytes)
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) this.#take(frame)
    })
    socket.on('error', () => undefined)
    socket.on('close', () => this.#over())
    return {
      write: (frames) => socket.write(Buffer.concat(frames.map(encodeBinary))),
      destroy: () => socket.destroy(),
    }
  }

  async #openWebSocket({ wsUrl }: Address, wire: 'binary' | 'json'): Promise<Pipe> {
    const socket = new WebSocket(wsUrl, subprotocols[wire], { perMessageDeflate: false })
    const decoder = new FrameDecoder(MAX_FRAME_BYTES)
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (!isBinary) return this.#take(decodeJson(data.toString()))
      decoder.push(data)
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) this.#take(frame)
    })
    await once(socket, 'open')
    socket.on('error', () => undefined)
    socket.on('close', () => this.#over())
    return {
      write(frames) {
        if (wire === 'binary') socket.send(Buffer.concat(frames.map(encodeBinary)))
        else for (const frame of frames) socket.send(encodeJson(frame))
      },
      destroy: () => socket.terminate(),
    }
  }
}
