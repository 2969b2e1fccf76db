import { connect, type NatsConnection } from 'nats'

/** What one NATS message between brokers held: the broker that it went to, its first byte, and the types of its records. */
export interface BusMessage {
  readonly to: string
  readonly form: number
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
        if (types.length > 0) {
          this.messages.push({ to: message.subject.slice(subject.length), form: message.data[0] ?? 0, types })
        }
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

/** First byte of a message with binary records. */
const BINARY = 1
const types = ['', 'push', 'head', 'transient', 'notHere', 'notice', 'evict']

/** The records of a message, in either form; none when it only tells a number. */
function readTypes(bytes: Buffer): Iterable<string> {
  return bytes[0] === BINARY ? readBinaryTypes(bytes) : readJsonTypes(bytes)
}

/** A u48 number and a text with a u16 length, then records: u8 type, u32 length of what follows. */
function* readBinaryTypes(bytes: Buffer): Generator<string> {
  let at = 7
  at += 2 + bytes.readUInt16BE(at)
  while (at < bytes.length) {
    yield types[bytes.readUInt8(at)] ?? 'unknown'
    at += 5 + bytes.readUInt32BE(at + 1)
  }
}

/** As 0.2.0 writes them: u32 length and JSON, then u32 length and a frame. */
function* readJsonTypes(bytes: Buffer): Generator<string> {
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
