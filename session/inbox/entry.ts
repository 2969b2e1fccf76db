import { hash } from 'node:crypto'

/**
 * One message as a list holds it (entry.lua has the same): seq and sentAt, 6 bytes each, which Redis puts in front; then the part that a gateway
 * sends: clientType, bytes of the sender's id, bytes of the messageId, one byte each, sender, messageId, payload.
 */
const TAIL_AT = 12
const FROM_AT = TAIL_AT + 3

export interface StoredMessage {
  readonly seq: number
  readonly from: string
  readonly clientType: number
  readonly messageId: string
  /** Milliseconds since 1970 by Redis' clock. */
  readonly sentAt: number
  readonly payload: Uint8Array
}

/** What a gateway knows of a message before it is appended. */
export type MessageContent = Omit<StoredMessage, 'seq' | 'sentAt'>

/** The part of an entry that a gateway sends, and where in it the payload begins. Ids have 255 bytes at most. */
export function packTail({ from, clientType, messageId, payload }: MessageContent): {
  tail: Buffer
  payloadAt: number
} {
  const fromBytes = Buffer.byteLength(from)
  const idBytes = Buffer.byteLength(messageId)
  const payloadAt = 3 + fromBytes + idBytes
  const tail = Buffer.allocUnsafe(payloadAt + payload.length)
  tail.writeUInt8(clientType, 0)
  tail.writeUInt8(fromBytes, 1)
  tail.writeUInt8(idBytes, 2)
  tail.write(from, 3)
  tail.write(messageId, 3 + fromBytes)
  tail.set(payload, payloadAt)
  return { tail, payloadAt }
}

const DIGEST_BYTES = 8

/**
 * What a message is looked up by among those of the last minutes. Two messages may have the same by chance (1 in 2^64 for each pair): the one that is
 * found is compared by sender and messageId, as long as it is retained.
 */
export function digestOf(tail: Buffer, payloadAt: number): Buffer {
  return hash('sha256', tail.subarray(1, payloadAt), 'buffer').subarray(0, DIGEST_BYTES)
}

/** Reads an entry. */
export function readEntry(entry: Buffer): StoredMessage {
  const idAt = FROM_AT + entry.readUInt8(TAIL_AT + 1)
  const payloadAt = idAt + entry.readUInt8(TAIL_AT + 2)
  return {
    seq: entry.readUIntBE(0, 6),
    from: entry.toString('utf8', FROM_AT, idAt),
    clientType: entry.readUInt8(TAIL_AT),
    messageId: entry.toString('utf8', idAt, payloadAt),
    sentAt: entry.readUIntBE(6, 6),
    payload: entry.subarray(payloadAt),
  }
}
