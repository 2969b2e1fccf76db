import { randomUUID } from 'node:crypto'
import { encodeBinary } from '../../../protocol/binary.ts'
import { codeName } from '../../../protocol/codes.ts'
import { FrameDecoder } from '../../../protocol/frame-decoder.ts'
import { subprotocols, type Frame, type FrameOf } from '../../../protocol/frames.ts'
import { openSocket, type LoadSocket } from './socket.ts'
import { packPayload, unpackPayload, type MessageKind, type Wire, type WireHandlers, type WireUser } from './wire.ts'

/** Longer than any frame that a gateway sends here. */
const MAX_FRAME_BYTES = 1 << 20
/** As the SDK acknowledges by default. */
const ACK_EVERY = 64
const ACK_DELAY_MS = 50

/** A user of the product, with one device, over WebSocket or TCP. The time limit of a login is the gateway's. */
export async function openImWire(
  url: string,
  user: WireUser,
  kind: MessageKind,
  handlers: WireHandlers,
): Promise<Wire> {
  const wire = new ImWire(user.userId, kind, handlers)
  try {
    await wire.open(url, user.token ?? `1:${user.userId}`, user.imei ?? 'bench')
  } catch (error) {
    wire.close()
    throw error
  }
  return wire
}

class ImWire implements Wire {
  readonly #userId: string
  readonly #kind: MessageKind
  readonly #handlers: WireHandlers
  readonly #idPrefix = randomUUID().slice(0, 24)
  #loggedIn: PromiseWithResolvers<void> | undefined = Promise.withResolvers<void>()
  #socket: LoadSocket | undefined
  #decoder: FrameDecoder | undefined = new FrameDecoder(MAX_FRAME_BYTES)
  #epoch = ''
  #received = 0
  #acked = 0
  #ackTimer: NodeJS.Timeout | undefined

  constructor(userId: string, kind: MessageKind, handlers: WireHandlers) {
    this.#userId = userId
    this.#kind = kind
    this.#handlers = handlers
  }

  async open(url: string, token: string, imei: string): Promise<void> {
    const login = this.#loggedIn?.promise
    // It may fail before anybody waits for it.
    login?.catch(() => undefined)
    const onData = (chunk: Uint8Array) => {
      const decoder = (this.#decoder ??= new FrameDecoder(MAX_FRAME_BYTES))
      decoder.push(chunk)
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) this.#read(frame)
    }
    const onLost = () => this.#fail(new Error(`${this.#userId} lost its connection`))
    this.#socket = await openSocket(url, { onData, onLost }, [subprotocols.binary])
    const device = { clientType: 1, imei, version: '' } as const
    this.#write({ type: 'login', requestId: 0, token, ...device, epoch: '', seq: 0, start: 'earliest' })
    await login
    // Ten thousand that rest share the machine's memory with what is measured.
    this.#loggedIn = undefined
  }

  send(to: string, number: number, dueAt: number): void {
    // As long as a UUID, as that of the SDK is.
    const messageId = this.#idPrefix + number.toString(16).padStart(12, '0')
    const payload = packPayload(this.#kind.payloadBytes, number, dueAt)
    this.#write({ type: 'send', requestId: number, messageId, to, durable: this.#kind.durable, payload })
  }

  ping(): void {
    this.#write({ type: 'ping' })
  }

  close(): void {
    clearTimeout(this.#ackTimer)
    this.#socket?.close()
  }

  #write(frame: Frame): void {
    this.#socket?.send(encodeBinary(frame))
  }

  #read(frame: Frame): void {
    if (frame.type === 'message') this.#receive(frame)
    else if (frame.type === 'accepted') this.#handlers.onAnswer()
    else if (frame.type === 'ping') this.#write({ type: 'pong' })
    else if (frame.type === 'error' || frame.type === 'close') {
      this.#fail(new Error(`${this.#userId} got ${frame.type} ${codeName(frame.code) ?? frame.code}: ${frame.message}`))
    } else if (frame.type === 'loggedIn' || frame.type === 'gap') {
      this.#epoch = frame.epoch
      this.#loggedIn?.resolve()
    }
  }

  #fail(error: Error): void {
    if (this.#loggedIn) this.#loggedIn.reject(error)
    this.#handlers.onFailed(error)
  }

  #receive({ seq, from, payload }: FrameOf<'message'>): void {
    this.#handlers.onMessage(from, ...unpackPayload(payload))
    // A transient message has no seq.
    if (seq === 0) return
    this.#received = seq
    if (seq - this.#acked >= ACK_EVERY) this.#ack()
    else this.#ackTimer ??= setTimeout(() => this.#ack(), ACK_DELAY_MS)
  }

  #ack(): void {
    clearTimeout(this.#ackTimer)
    this.#ackTimer = undefined
    this.#acked = this.#received
    this.#write({ type: 'ack', stream: 'inbox', epoch: this.#epoch, seq: this.#received })
  }
}
