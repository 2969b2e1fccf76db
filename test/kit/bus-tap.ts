import { connect, type NatsConnection } from 'nats'

/** What one NATS message between brokers held: the broker that it went to, and the types of its records. */
export interface BusMessage {
  readonly to: string
  readonly types: readonly string[]
}

const LENGTH_BYTES = 4

/** Listens to what brokers tell each other, as `nats sub 'broker.>'` does. */
export class BusTap implements AsyncDisposable {
  /** Every message so far, but for the probes of brokers to themselves. */
  readonly messages: BusMessage[] = []
  readonly #nats: NatsConnection

  private constructor(nats: NatsConnection, prefix: string) {
    this.#nats = nats
    const subject = `${prefix}broker.`
    nats.subscribe(`${subject}>`, {
      callback: (error, message) => {
        if (error) throw error
        const types = [...readTypes(Buffer.from(message.data))].filter((type) => type !== 'probe')
        if (types.length > 0) this.messages.push({ to: message.subject.slice(subject.length), types })
      },
    })
  }

  /** Resolves when the server has the subscription. */
  static async open(url: string, prefix = ''): Promise<BusTap> {
    const tap = new BusTap(await connect({ servers: url }), prefix)
    await tap.#nats.flush()
    return tap
  }

  /** Resolves when everything that was published before has been seen. */
  async flush(): Promise<void> {
    await this.#nats.flush()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nats.close()
  }
}

/** The records of a message: u32 length and JSON, then u32 length and a frame. */
function* readTypes(bytes: Buffer): Generator<string> {
  let at = 0
  const take = () => {
    const start = at + LENGTH_BYTES
    at = start + bytes.readUInt32BE(at)
    return bytes.subarray(start, at)
  }
  while (at < bytes.length) {
    const { type } = JSON.parse(take().toString()) as { type: string }
    take()
    yield type
  }
}
