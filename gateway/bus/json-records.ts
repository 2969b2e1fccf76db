import { z } from 'zod'
import { MAX_TRIED, type BusRecord } from './bus-record.ts'

const user = { appId: z.number().int().nonnegative(), userId: z.string() }
const tried = z.array(z.string()).max(MAX_TRIED)

/** What release 0.2.0 sends and reads; it refuses all other types. */
const recordSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('push'), ...user, epoch: z.string(), seq: z.number().int().positive() }),
  z.object({ type: z.literal('head'), ...user, epoch: z.string(), seq: z.number().int().positive() }),
  z.object({ type: z.literal('transient'), ...user, origin: z.string(), tried }),
  z.object({ type: z.literal('notHere'), ...user, tried }),
  z.object({ type: z.literal('notice'), ...user, connectionId: z.string() }),
  z.object({
    type: z.literal('evict'),
    connectionId: z.string(),
    code: z.enum(['replaced', 'displaced']),
    clientType: z.number(),
    maxDevices: z.number().optional(),
  }),
  /** Pushes may have been lost: compare the heads of all streams. */
  z.object({ type: z.literal('sync') }),
  /** To oneself: proves that the subscription works. */
  z.object({ type: z.literal('probe'), nonce: z.string() }),
])

/** A record in the form of release 0.2.0; a transient one names its sender. */
export type JsonRecord = BusRecord | z.output<typeof recordSchema>

const LENGTH_BYTES = 4
const EMPTY = new Uint8Array(0)

/** Encodes a record: u32 length and JSON, then u32 length and the bytes of the frame (none: 0). */
export function encodeJsonRecord(record: JsonRecord, frame: Uint8Array = EMPTY): Buffer {
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
export function* decodeJsonRecords(
  bytes: Uint8Array,
): Generator<readonly [record: z.output<typeof recordSchema>, frame: Uint8Array]> {
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
    const record = recordSchema.parse(parseJson(take()))
    yield [record, take()] as const
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    // No cause: the message of a SyntaxError quotes the text, and bytes out of step may be a payload.
    throw new SyntaxError('a record is not JSON')
  }
}
