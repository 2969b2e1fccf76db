import {
  buildLogin,
  buildSend,
  connectTcp,
  connectWebSocket,
  textOf,
  type RawClient as Connection,
} from './raw-client.ts'
import { codeName } from '../../protocol/codes.ts'
import { subprotocols, type ClientFrame, type Frame, type FrameOf, type FrameType } from '../../protocol/frames.ts'
import { until } from './wait.ts'

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

/**
 * A user's connection that speaks the protocol and does nothing by itself: no ping, no acknowledgement, no reconnect. For
 * what the SDK would hide. Every frame that comes is kept.
 */
export class RawClient implements AsyncDisposable {
  readonly #connection: Connection
  #lastRequestId = 0

  private constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Connects to a gateway. */
  static async open({ tcpUrl, wsUrl }: Address, wire: Wire = 'tcp'): Promise<RawClient> {
    const opening = wire === 'tcp' ? connectTcp(tcpUrl) : connectWebSocket(wsUrl, { subprotocol: subprotocols[wire] })
    return new RawClient(await opening)
  }

  /** Connects and logs in. */
  static async login(address: Address, login: RawLogin, wire?: Wire): Promise<RawClient> {
    const client = await RawClient.open(address, wire)
    await client.login(login)
    return client
  }

  /** As `login`, tried again while the gateway is not back at a Redis that was away. */
  static retryLogin(address: Address, login: RawLogin, wire?: Wire): Promise<RawClient> {
    return until(`the login of ${login.user}`, () => RawClient.login(address, login, wire))
  }

  /** Every frame of the type that came, in order. */
  framesOf<Type extends FrameType>(type: Type): FrameOf<Type>[] {
    return this.#connection.unread.filter((frame: Frame): frame is FrameOf<Type> => frame.type === type)
  }

  /** Every frame that came, in order. */
  get frames(): readonly Frame[] {
    return this.#connection.unread
  }

  /** Empty before the login. */
  get connectionId(): string {
    return this.framesOf('loggedIn')[0]?.connectionId ?? ''
  }

  /** Payloads of the messages that came, as text, in order. */
  get texts(): string[] {
    return this.framesOf('message').map(textOf)
  }

  /** The name of the code with which the gateway closed the connection, `lost` without one, and `open` until then. */
  get ending(): string {
    const [close] = this.framesOf('close')
    if (close === undefined) return this.#connection.open ? 'open' : 'lost'
    return codeName(close.code) ?? String(close.code)
  }

  /** Resolves with `ending` when the connection is over. */
  async ended(): Promise<string> {
    await this.#connection.waitForEnd()
    return this.ending
  }

  /** Writes frames in one piece. */
  write(...frames: ClientFrame[]): void {
    this.#connection.send(...frames)
  }

  /** Resolves with the first frame of the type, past or future, that satisfies `predicate`. */
  waitFor<Type extends FrameType>(
    type: Type,
    predicate?: (frame: FrameOf<Type>) => boolean,
    timeoutMs?: number,
  ): Promise<FrameOf<Type>> {
    return this.#connection.find(type, predicate, timeoutMs)
  }

  /** Rejects with the name of the code when the gateway closes the connection instead. */
  async login(login: RawLogin): Promise<FrameOf<'loggedIn'>> {
    const { user, app = 1, clientType = 1, imei = 'browser', cursor } = login
    const requestId = this.#nextId()
    this.write(buildLogin({ requestId, token: `${app}:${user}`, clientType, imei, ...cursor }))
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
    return buildSend(to, text, { requestId: this.#nextId(), durable })
  }

  answerTo(id: number): Promise<FrameOf<'accepted'> | FrameOf<'error'>> {
    return this.#connection.find(['accepted', 'error'], ({ requestId }) => requestId === id)
  }

  /** The users of those given who are online. */
  async online(...userIds: string[]): Promise<string[]> {
    const requestId = this.#nextId()
    this.write({ type: 'presence', requestId, userIds })
    const { users } = await this.waitFor('presenceState', (frame) => frame.requestId === requestId)
    return users.filter(({ clientTypes }) => clientTypes.length > 0).map(({ userId }) => userId)
  }

  /** Acknowledges the inbox up to `seq`, in the epoch that the gateway named last. */
  ack(seq: number): void {
    this.#connection.ack(seq)
  }

  /** Resolves when the gateway has read all that was written, and all that it had sent by then has come. */
  sync(): Promise<void> {
    return this.#connection.sync()
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.#connection.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.destroy()
    await this.ended()
  }

  #nextId(): number {
    this.#lastRequestId += 1
    return this.#lastRequestId
  }
}
