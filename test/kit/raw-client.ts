import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { WebSocket } from 'ws'
import { encodeBinary } from '../../protocol/binary.ts'
import { codeName, type CodeName } from '../../protocol/codes.ts'
import { FrameDecoder } from '../../protocol/frame-decoder.ts'
import { subprotocols, type Frame, type FrameOf, type FrameType } from '../../protocol/frames.ts'
import { decodeJson, encodeJson } from '../../protocol/json.ts'
import { parsePlace } from './servers/local-host.ts'

/** How long a test waits for anything. Generous: only a failure takes this long. */
const DEADLINE_MS = 60_000
/** Longer than anything that a gateway sends to a test. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024

/** How a connection ended. */
export interface Ending {
  /** The `close` frame, if one came. */
  readonly frame: FrameOf<'close'> | undefined
  /** Name of the code in it. */
  readonly name: CodeName | undefined
  /** WebSocket close code and reason; 0 over TCP, 1006 when the peer hung up without. */
  readonly code: number
  readonly reason: string
}

/** The device and so on of a login; the rest of the frame has defaults. */
export type LoginFields = Partial<FrameOf<'login'>> & { readonly token: string }

/**
 * A client without any manners of its own: sends whatever it is told to, answers nothing, and keeps what it gets. For
 * tests of a gateway; applications use client/.
 */
export interface RawClient extends AsyncDisposable {
  /** Every frame received so far that no `next` has taken. */
  readonly unread: readonly Frame[]
  /** Bytes (or, of JSON, UTF-16 units) received so far. */
  readonly receivedBytes: number
  /** How the connection ended; never rejects. */
  readonly ended: Promise<Ending>
  readonly open: boolean
  /** The epoch of the inbox, as the last `loggedIn` or `gap` said. */
  readonly epoch: string
  /** Sends frames in one piece, over WebSocket with JSON in one message each. */
  send(...frames: Frame[]): void
  /**
   * Sends these very bytes over TCP, or as one WebSocket message, which is text when `data` is a string or `asText` says
   * so. Resolves when they are written.
   */
  sendRaw(data: Uint8Array | string, asText?: boolean): Promise<void>
  /** Takes the first unread frame of this type that satisfies `predicate`, or waits for it. */
  next<Type extends FrameType>(type: Type, predicate?: (frame: FrameOf<Type>) => boolean): Promise<FrameOf<Type>>
  /** As `next`, but leaves the frame unread; of several types, whichever comes first. */
  find<Type extends FrameType>(
    type: Type | readonly Type[],
    predicate?: (frame: FrameOf<Type>) => boolean,
    timeoutMs?: number,
  ): Promise<FrameOf<Type>>
  /** Sends a login and resolves with the answer. */
  login(fields: LoginFields): Promise<FrameOf<'loggedIn'>>
  /** Acknowledges the inbox up to `seq`. */
  ack(seq: number): void
  /** Sends a ping and takes the answer: the gateway has read everything before it, and the connection goes on. */
  sync(): Promise<void>
  /** Stops reading, so that what the gateway sends piles up. */
  pause(): void
  resume(): void
  /** As `ended`, but rejects when that takes too long. */
  waitForEnd(): Promise<Ending>
  /** Hangs up without a word. */
  destroy(): void
}

interface Wire {
  send(frames: readonly Frame[]): void
  sendRaw(data: Uint8Array | string, asText: boolean, written: () => void): void
  pause(): void
  resume(): void
  destroy(): void
}

/** Connects over raw TCP, with TLS when the URL begins with `tls:` or `tls` options are given. */
export async function connectTcp(url: string, tls?: ConnectionOptions): Promise<RawClient> {
  const address = parsePlace(url)
  const socket: Socket = tls === undefined ? connect(address) : connectTls({ ...address, ...tls })
  await once(socket, tls === undefined ? 'connect' : 'secureConnect')
  socket.setNoDelay(true)
  const client = new Client({
    send: (frames) => socket.write(Buffer.concat(frames.map(encodeBinary))),
    sendRaw: (data, _asText, written) => socket.write(data, written),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    destroy: () => socket.destroy(),
  })
  const decoder = new FrameDecoder(MAX_FRAME_BYTES)
  socket.on('data', (chunk: Buffer) => {
    decoder.push(chunk)
    client.receivedBytes += chunk.length
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) client.receive(frame)
  })
  socket.on('error', () => undefined)
  socket.on('close', () => client.end(0, ''))
  return client
}

/** Connects over WebSocket. `tls` holds options of a `wss:` URL; `subprotocol` may also be one that no gateway knows. */
export async function connectWebSocket(
  url: string,
  options: { subprotocol?: string; tls?: ConnectionOptions } = {},
): Promise<RawClient> {
  const { subprotocol = subprotocols.json, tls } = options
  const socket = new WebSocket(url, subprotocol === '' ? [] : [subprotocol], { ...tls, perMessageDeflate: false })
  const isBinary = subprotocol === subprotocols.binary
  const client = new Client({
    send(frames) {
      if (isBinary) socket.send(Buffer.concat(frames.map(encodeBinary)))
      else for (const frame of frames) socket.send(encodeJson(frame))
    },
    sendRaw: (data, asText, written) => socket.send(data, { binary: !asText }, written),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    destroy: () => socket.terminate(),
  })
  socket.on('message', (data: Buffer, binary) => {
    client.receivedBytes += data.length
    if (!binary) return client.receive(decodeJson(data.toString('utf8')))
    const decoder = new FrameDecoder(MAX_FRAME_BYTES)
    decoder.push(data)
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) client.receive(frame)
  })
  socket.on('close', (code, reason) => client.end(code, reason.toString('utf8')))
  await once(socket, 'open')
  socket.on('error', () => undefined)
  return client
}

interface Waiter {
  /** Whether it takes the frame from all others, or only looks. */
  readonly takes: boolean
  /** Whether it is served by the frame. */
  offer(frame: Frame): boolean
}

class Client implements RawClient {
  readonly unread: Frame[] = []
  receivedBytes = 0
  open = true
  epoch = ''
  readonly ended: Promise<Ending>
  readonly #end: (ending: Ending) => void
  readonly #wire: Wire
  readonly #waiting = new Set<Waiter>()
  #closeFrame: FrameOf<'close'> | undefined

  constructor(wire: Wire) {
    this.#wire = wire
    const { promise, resolve } = Promise.withResolvers<Ending>()
    this.ended = promise
    this.#end = resolve
  }

  send(...frames: Frame[]): void {
    this.#wire.send(frames)
  }

  sendRaw(data: Uint8Array | string, asText = typeof data === 'string'): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wire.sendRaw(data, asText, () => resolve())
    return promise
  }

  next<Type extends FrameType>(type: Type, predicate?: (frame: FrameOf<Type>) => boolean): Promise<FrameOf<Type>> {
    return this.#await([type], predicate, true, DEADLINE_MS)
  }

  find<Type extends FrameType>(
    type: Type | readonly Type[],
    predicate?: (frame: FrameOf<Type>) => boolean,
    timeoutMs = DEADLINE_MS,
  ): Promise<FrameOf<Type>> {
    return this.#await(typeof type === 'string' ? [type] : type, predicate, false, timeoutMs)
  }

  login(fields: LoginFields): Promise<FrameOf<'loggedIn'>> {
    this.send(buildLogin(fields))
    return this.next('loggedIn')
  }

  ack(seq: number): void {
    this.send({ type: 'ack', stream: 'inbox', epoch: this.epoch, seq })
  }

  async sync(): Promise<void> {
    this.send({ type: 'ping' })
    await this.next('pong')
  }

  pause(): void {
    this.#wire.pause()
  }

  resume(): void {
    this.#wire.resume()
  }

  async waitForEnd(): Promise<Ending> {
    const { promise, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(new Error(`not closed within ${DEADLINE_MS} ms`)), DEADLINE_MS)
    return Promise.race([this.ended, promise]).finally(() => clearTimeout(timer))
  }

  destroy(): void {
    this.#wire.destroy()
  }

  receive(frame: Frame): void {
    if (frame.type === 'close') this.#closeFrame = frame
    if (frame.type === 'loggedIn' || frame.type === 'gap') this.epoch = frame.epoch
    let taken = false
    for (const waiter of this.#waiting) {
      if ((taken && waiter.takes) || !waiter.offer(frame)) continue
      this.#waiting.delete(waiter)
      taken ||= waiter.takes
    }
    if (!taken) this.unread.push(frame)
  }

  end(code: number, reason: string): void {
    this.open = false
    const frame = this.#closeFrame
    this.#end({ frame, name: frame === undefined ? undefined : codeName(frame.code), code, reason })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.destroy()
    await this.ended
  }

  #await<Type extends FrameType>(
    types: readonly FrameType[],
    predicate: ((frame: FrameOf<Type>) => boolean) | undefined,
    takes: boolean,
    timeoutMs: number,
  ): Promise<FrameOf<Type>> {
    const matches = (frame: Frame): frame is FrameOf<Type> =>
      types.includes(frame.type) && (predicate === undefined || predicate(frame as FrameOf<Type>))
    const found = this.unread.find(matches)
    if (found !== undefined) {
      if (takes) this.unread.splice(this.unread.indexOf(found), 1)
      return Promise.resolve(found)
    }
    const { promise, resolve, reject } = Promise.withResolvers<FrameOf<Type>>()
    const waiter: Waiter = {
      takes,
      offer(frame) {
        if (!matches(frame)) return false
        resolve(frame)
        return true
      },
    }
    const describe = (what: string) => {
      const seen = this.unread.map((frame) => (frame.type === 'error' ? `error ${frame.code}` : frame.type)).slice(-20)
      const close = this.#closeFrame === undefined ? '' : `, closed with ${codeName(this.#closeFrame.code)}`
      return new Error(`no frame ${types.join(' or ')} came ${what}; unread: ${seen.join(', ') || 'nothing'}${close}`)
    }
    if (!this.open) return Promise.reject(describe('before the end'))
    this.#waiting.add(waiter)
    const timer = setTimeout(() => reject(describe(`within ${timeoutMs} ms`)), timeoutMs)
    void this.ended.then(() => reject(describe('before the end')))
    return promise.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(waiter)
    })
  }
}

/** A login frame with the defaults of the protocol, for a device of its own. */
export function buildLogin(fields: LoginFields): FrameOf<'login'> {
  const device = { clientType: 1, imei: 'device', version: '1.0' } as const
  return { type: 'login', requestId: 0, epoch: '', seq: 0, start: 'earliest', ...device, ...fields }
}

/** A durable send with text as its payload. */
export function buildSend(to: string, payload: string, fields: Partial<FrameOf<'send'>> = {}): FrameOf<'send'> {
  const bytes = new TextEncoder().encode(payload)
  return { type: 'send', requestId: 0, messageId: crypto.randomUUID(), to, durable: true, payload: bytes, ...fields }
}

/** The payload of a message as text. */
export function textOf({ payload }: { readonly payload: Uint8Array }): string {
  return new TextDecoder().decode(payload)
}
