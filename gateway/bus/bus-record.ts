import { z } from 'zod'

const user = { appId: z.number().int().nonnegative(), userId: z.string() }
const MAX_TRIED = 128
/** Brokers that a transient message has gone to already, so that a corrected route does not deliver it twice. */
const tried = z.array(z.string()).max(MAX_TRIED)

/** What one broker tells another over `broker.<id>`. Those marked with a frame carry one encoded `message` or `notice`. */
const recordSchema = z.discriminatedUnion('type', [
  /** A durable message, for every device of the user. With a frame. */
  z.object({ type: z.literal('push'), ...user, epoch: z.string(), seq: z.number().int().positive() }),
  /** The same without its frame, which is longer than NATS takes: to be read from the stream. */
  z.object({ type: z.literal('head'), ...user, epoch: z.string(), seq: z.number().int().positive() }),
  /** A message that is only pushed. `origin` hears `notHere` when the user has no device there. With a frame. */
  z.object({ type: z.literal('transient'), ...user, origin: z.string(), tried }),
  /** Answer to `transient`, which it returns: the route was old. With a frame. */
  z.object({ type: z.literal('notHere'), ...user, tried }),
  /** Another device of the user joined or left; not for the connection that is meant. With a frame. */
  z.object({ type: z.literal('notice'), ...user, connectionId: z.string() }),
  /** A connection lost its session to a newer login. */
  z.object({
    type: z.literal('evict'),
    connectionId: z.string(),
    code: z.enum(['replaced', 'displaced']),
    clientType: z.number(),
    /** The most devices of a user, when that was the reason. */
    maxDevices: z.number().optional(),
  }),
  /** Pushes may have been lost: compare the heads of all streams. */
  z.object({ type: z.literal('sync') }),
  /** To oneself: proves that the subscription works. */
  z.object({ type: z.literal('probe'), nonce: z.string() }),
])

/** One record, without its frame. */
export type BusRecord = z.output<typeof recordSchema>

const LENGTH_BYTES = 4
const EMPTY = new Uint8Array(0)

/** Encodes a record: u32 length and JSON, then u32 length and the bytes of the frame (none: 0). */
export function encodeBusRecord(record: BusRecord, frame: Uint8Array = EMPTY): Buffer {
  const json = Buffer.from(JSON.stringify(record))
  const bytes = Buffer.allocUnsafe(2 * LENGTH_BYTES + json.length + frame.length)
  let at = bytes.writeUInt32BE(json.length)
  at += json.copy(bytes, at)
  at = bytes.writeUInt32BE(frame.length, at)
  bytes.set(frame, at)
  return bytes
}

/**
 * Reads the records of one NATS message, in order. The frames are views of `bytes`.
 *
 * @throws Error when the bytes are not whole records
 */
export function* decodeBusRecords(bytes: Uint8Array): Generator<readonly [BusRecord, Uint8Array]> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const take = () => {
    const start = at + LENGTH_BYTES
    const end = start + buffer.readUInt32BE(at)
    if (end > buffer.length) throw new RangeError('the record ends behind the message')
    at = end
    return buffer.subarray(start, end)
  }
  while (at < buffer.length) {
    const value = parseJson(take())
    const record = isMessage(value) ? value : recordSchema.parse(value)
    yield [record, take()] as const
  }
}

/** Whether it is of the kinds that there is one of for each message: checked by hand, as the schema takes many times as long. */
function isMessage(value: unknown): value is BusRecord & { type: 'push' | 'transient' } {
  const { type, appId, userId, epoch, seq, origin, tried } = Object(value) as Record<string, unknown>
  if (typeof userId !== 'string' || !isCount(appId)) return false
  if (type === 'push') return typeof epoch === 'string' && isCount(seq) && seq > 0
  if (type !== 'transient' || typeof origin !== 'string' || !Array.isArray(tried)) return false
  return tried.length <= MAX_TRIED && tried.every((brokerId) => typeof brokerId === 'string')
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    // No cause: the message of a SyntaxError quotes the text, and bytes out of step may be a payload.
    throw new SyntaxError('a record is not JSON')
  }
}
