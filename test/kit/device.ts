import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import {
  connect,
  type Client,
  type ClientTypeName,
  type Closed,
  type Connected,
  type Cursor,
  type Disconnected,
  type Gap,
  type Message,
  type Sent,
} from '../../client/index.ts'
import type { Address } from './raw-login.ts'
import { until } from './wait.ts'

export interface DeviceOptions {
  readonly user: string
  readonly clientType?: ClientTypeName
  readonly imei?: string
  readonly transport?: 'tcp' | 'ws'
  /** Where it goes on; without it what the cluster has on record decides. */
  readonly cursor?: Cursor | undefined
  /** Gives up soon a gateway that does not answer; by default with the SDK's own patience, which a busy machine needs. */
  readonly impatient?: boolean
}

/** A device with the SDK in it, and all that happened to it. */
export class Device implements AsyncDisposable {
  readonly user: string
  /** `<user>/<imei>` */
  readonly name: string
  readonly client: Client
  readonly received: Message[] = []
  readonly gaps: Gap[] = []
  readonly connections: Connected[] = []
  readonly disconnections: Disconnected[] = []
  closed: Closed | undefined

  private constructor(user: string, imei: string, client: Client) {
    this.user = user
    this.name = `${user}/${imei}`
    this.client = client
    client.on('message', (message) => void this.received.push(message))
    client.on('gap', (gap) => void this.gaps.push(gap))
    client.on('connected', (connected) => void this.connections.push(connected))
    client.on('disconnected', (disconnected) => void this.disconnections.push(disconnected))
    client.on('closed', (closed) => (this.closed = closed))
  }

  /** Connects to the first of the gateways, or to the next when it is away; resolves when logged in. */
  static async open(gateways: readonly Address[], options: DeviceOptions): Promise<Device> {
    const { user, clientType = 'web', imei = 'browser', transport = 'ws', cursor, impatient = false } = options
    const device = new Device(
      user,
      imei,
      connect({
        urls: gateways.map(({ tcpUrl, wsUrl }) => (transport === 'tcp' ? tcpUrl : wsUrl)),
        token: `1:${user}`,
        device: { clientType, imei },
        cursor,
        backoffBaseMs: 50,
        backoffCapMs: 500,
        ...(impatient && { connectTimeoutMs: 2_000, heartbeatTimeoutMs: 1_000 }),
        sendTimeoutMs: 60_000,
      }),
    )
    await device.client.ready()
    return device
  }

  /** Where it is connected, or was last. */
  get brokerId(): string | undefined {
    return this.connections.at(-1)?.brokerId
  }

  get connectionId(): string {
    return this.connections.at(-1)?.connectionId ?? ''
  }

  get texts(): string[] {
    return this.received.map((message) => message.text())
  }

  /** Resolves when it has got every one of these messages, or later ones. */
  async has(accepted: readonly Sent[], timeoutMs?: number): Promise<void> {
    const head = Math.max(0, ...accepted.map(({ seq }) => seq))
    const missing = () => `${this.name} got up to ${this.received.at(-1)?.seq ?? 0} of ${head}`
    await until(`all messages at ${this.name}`, () => (this.received.at(-1)?.seq ?? 0) >= head, timeoutMs).catch(
      (error: unknown) => assert.fail(`${String(error)}: ${missing()}`),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close()
  }
}

/** Sends these texts one after the other; resolves when each is accepted. */
export async function sendEach({ client }: Device, to: string, texts: readonly string[]): Promise<Sent[]> {
  const accepted: Sent[] = []
  for (const text of texts) accepted.push(await client.send(to, text))
  return accepted
}

/** P1: the device has every accepted message of its inbox, from seq 1 without a hole, in order, each once. */
export function assertDelivered(device: Device, accepted: readonly Sent[]): void {
  const durable = device.received.filter((message) => message.durable)
  const seqs = durable.map(({ seq }) => seq)
  assert.deepEqual(
    seqs,
    seqs.map((_, index) => index + 1),
    `${device.name} got its inbox in order, without a hole, each message once`,
  )
  for (const { messageId, seq } of accepted) {
    assert.equal(durable[seq - 1]?.messageId, messageId, `${device.name} got the accepted message ${messageId}`)
  }
  const ids = durable.map(({ from, messageId }) => `${from} ${messageId}`)
  assert.equal(new Set(ids).size, ids.length, `${device.name} got no message under two numbers`)
}

/** Numbered messages from one device to a user, one after the other while it lasts. */
export interface Traffic {
  /** How many were accepted so far. */
  readonly accepted: readonly Sent[]
  /** Sends no more; resolves when each is answered. */
  stop(): Promise<Sent[]>
}

/** Sends a message every `everyMs` milliseconds, whether or not the ones before were accepted yet. */
export function startTraffic({ client, name }: Device, to: string, everyMs: number): Traffic {
  const accepted: Sent[] = []
  const sending: Promise<void>[] = []
  const stopped = new AbortController()
  // A test that fails leaves it to the client's end.
  void client.closed.then(() => stopped.abort())
  const run = async () => {
    for (let number = 1; !stopped.signal.aborted; number++) {
      const sent = client.send(to, `${name} ${number}`).then((answer) => void accepted.push(answer))
      sent.catch(() => undefined)
      sending.push(sent)
      await delay(everyMs, undefined, { signal: stopped.signal }).catch(() => undefined)
    }
  }
  const running = run()
  return {
    accepted,
    async stop() {
      stopped.abort()
      await running
      await Promise.all(sending)
      return accepted
    },
  }
}

/** The messages of each sender kept the order in which it sent them. */
export function assertSenderOrder(texts: readonly string[]): void {
  const last = new Map<string, number>()
  for (const text of texts) {
    const [sender = '', number = ''] = text.split(' ')
    assert.equal(Number(number), (last.get(sender) ?? 0) + 1, `the order of ${sender}`)
    last.set(sender, Number(number))
  }
}
