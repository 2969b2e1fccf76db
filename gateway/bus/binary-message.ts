import { MAX_TRIED, type BusRecord } from './bus-record.ts'
import { ByteWriter } from './byte-writer.ts'

/** First byte of a message in this form. One with JSON begins with the highest byte of its length, which is 0. */
const FORM = 1
const NUMBER_AT = 1
/** Some times the longest that there is: a receiver remembers many. */
const MAX_ROUTE_BYTES = 1_024
const RECORD_HEAD_BYTES = 5
const NO_FRAME = Buffer.alloc(0)
/** By the byte that stands for each. */
const types = ['', 'push', 'head', 'transient', 'notHere', 'notice', 'evict'] as const
const codes = ['replaced', 'displaced'] as const
const ids = Object.fromEntries(types.map((type, id) => [type, id])) as Record<BusRecord['type'], number>

/** What stands before the records of a message. */
export interface MessageHead {
  /** Counts the messages from one process to another, from 1. */
  readonly number: number
  /** From where to where, as of `buildRoute`. */
  readonly route: string
  /** Where the records begin. */
  readonly end: number
}

/** Whether a NATS message is in this form. */
export function isBinaryMessage(bytes: Uint8Array): boolean {
  return bytes[0] === FORM
}

/** `<receiver's bootId>/<sender's brokerId>/<sender's bootId>`: one key for what is looked up at each message. */
export function buildRoute(receiver: string, brokerId: string, bootId: string): string {
  return `${receiver}/${brokerId}/${bootId}`
}

/** The head of a message, which is one by itself: it tells the number of the last one. */
export function encodeHead(route: string, number: number): Buffer {
  const writer = new ByteWriter()
  writer.u8(FORM)
  writer.u48(number)
  writer.text(route)
  return writer.take()
}

/** Puts its number into a message. */
export function patchNumber(to: ByteWriter, number: number): void {
  to.patchU48(NUMBER_AT, number)
}

/** @throws RangeError when the message ends before its head does, or its route is longer than any */
export function readHead(bytes: Buffer): MessageHead {
  const number = bytes.readUIntBE(NUMBER_AT, 6)
  const routeAt = NUMBER_AT + 6 + 2
  const length = bytes.readUInt16BE(routeAt - 2)
  if (length > MAX_ROUTE_BYTES) throw new RangeError('the route is too long')
  const end = routeAt + length
  if (end > bytes.length) throw new RangeError('the message ends within its head')
  return { number, route: bytes.toString('latin1', routeAt, end), end }
}

/** Bytes that a record may need, without its frame. */
export function boundOf(record: BusRecord): number {
  let units = record.type === 'evict' ? 0 : record.userId.length
  if ('epoch' in record) units += record.epoch.length
  if ('connectionId' in record) units += record.connectionId.length
  let bytes = 3 * units + 32
  if ('tried' in record) for (const brokerId of record.tried) bytes += 3 * brokerId.length + 2
  return bytes
}

/** A record: u8 type, u32 length of what follows, its fields, then the frame up to the end. */
export function writeRecord(to: ByteWriter, record: BusRecord, frame: Uint8Array = NO_FRAME): void {
  const start = to.length
  to.u8(ids[record.type])
  to.u32(0)
  if (record.type === 'evict') {
    to.text(record.connectionId)
    to.u8(codes.indexOf(record.code))
    to.u8(record.clientType)
    to.u32(record.maxDevices ?? 0)
  } else {
    to.u32(record.appId)
    to.text(record.userId)
    if (record.type === 'push' || record.type === 'head') {
      to.text(record.epoch)
      to.u48(record.seq)
    } else if (record.type === 'notice') {
      to.text(record.connectionId)
    } else {
      to.u8(record.tried.length)
      for (const brokerId of record.tried) to.text(brokerId)
    }
  }
  to.bytes(frame)
  to.patchU32(start + 1, to.length - start - RECORD_HEAD_BYTES)
}

/**
 * Reads the records of a message from `at` on, in order. Frames are views of `bytes`. What a later form has added behind the
 * fields of an `evict` is skipped.
 *
 * @throws Error at the first that is not whole; those before it have been handled
 */
export function readRecords(bytes: Buffer, at: number, handle: (record: BusRecord, frame: Buffer) => void): void {
  const reader = new Reader(bytes)
  while (at < bytes.length) {
    const type = types[bytes.readUInt8(at)]
    const start = at + RECORD_HEAD_BYTES
    const end = start + bytes.readUInt32BE(at + 1)
    if (end > bytes.length) throw new RangeError('the record ends behind the message')
    reader.at = start
    reader.end = end
    const record = readRecord(type, reader)
    handle(record, bytes.subarray(reader.at, end))
    at = end
  }
}

function readRecord(type: (typeof types)[number] | undefined, from: Reader): BusRecord {
  if (type === 'evict') {
    const connectionId = from.text()
    const code = codes[from.u8()]
    const clientType = from.u8()
    const maxDevices = from.u32()
    if (code === undefined) throw new RangeError('an evict has an unknown code')
    from.at = from.end
    return { type, connectionId, code, clientType, ...(maxDevices > 0 && { maxDevices }) }
  }
  if (type === undefined || type === '') throw new RangeError('the record has an unknown type')
  const appId = from.u32()
  const userId = from.text()
  if (type === 'push' || type === 'head') {
    const epoch = from.text()
    const seq = from.u48()
    if (seq === 0) throw new RangeError('a push has no seq')
    return { type, appId, userId, epoch, seq }
  }
  if (type === 'notice') return { type, appId, userId, connectionId: from.text() }
  const count = from.u8()
  if (count > MAX_TRIED) throw new RangeError('too many brokers were tried')
  return { type, appId, userId, tried: Array.from({ length: count }, () => from.text()) }
}

/** Takes values up to `end`. */
class Reader {
  readonly #bytes: Buffer
  at = 0
  end = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#take(1))
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  u48(): number {
    return this.#bytes.readUIntBE(this.#take(6), 6)
  }

  text(): string {
    const length = this.#bytes.readUInt16BE(this.#take(2))
    const at = this.#take(length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  #take(count: number): number {
    const { at } = this
    if (at + count > this.end) throw new RangeError('the record ends within a field')
    this.at = at + count
    return at
  }
}
