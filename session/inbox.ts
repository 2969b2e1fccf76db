import { deviceField, type Keys } from './keys.ts'
import { guard, sendAll, type Commands, type RedisClient } from './redis.ts'
import { sendBinaryScript, sendScript } from './functions.ts'
import { defaults } from './settings.ts'
import { isOnline, readSessions, type OnGarbage } from './stored-sessions.ts'
import { createEpoch, streamState, type StreamState } from './stream-state.ts'
import type { Device, UserRef, UserSession } from './user-session.ts'

export interface InboxOptions {
  /** Messages kept; older ones are trimmed. */
  readonly maxLength?: number
  /** How long a message is kept. */
  readonly retentionMs?: number
  /** How long cursors and the epoch are kept when nothing happens. */
  readonly cursorRetentionMs?: number
  /** How long a repeated messageId is recognized. */
  readonly dedupeMs?: number
  readonly onGarbage?: OnGarbage
}

export interface NewMessage {
  readonly to: UserRef
  readonly from: string
  readonly clientType: number
  readonly messageId: string
  readonly payload: Uint8Array
}

export interface Appended {
  readonly seq: number
  readonly epoch: string
  /** Milliseconds since 1970 by Redis' clock. */
  readonly sentAt: number
  /** The message had been appended before, under this seq; nothing was appended now. */
  readonly duplicate: boolean
  /** The recipient's online sessions. */
  readonly sessions: readonly UserSession[]
}

export interface StoredMessage {
  readonly seq: number
  readonly from: string
  readonly clientType: number
  readonly messageId: string
  readonly sentAt: number
  readonly payload: Uint8Array
}

export interface InboxPage extends StreamState {
  readonly messages: readonly StoredMessage[]
}

export interface ReadLimits {
  /** At most so many messages, 64 at the very most. */
  readonly count?: number
  /** At most so many bytes of payload, but always one message. */
  readonly bytes?: number
}

export interface CursorEntry {
  readonly user: UserRef
  readonly device: Device
  readonly epoch: string
  readonly seq: number
}

const MAX_COUNT = 64
const MAX_BYTES = 1 << 20
/** Cursors of one user; the one furthest behind gives way. */
const MAX_CURSORS = 256

/**
 * The durable messages of users: one stream each, with consecutive seq from 1.
 *
 * What Redis loses is lost here too: a message counts as accepted when the primary has it, on disk or on a replica only as
 * its own settings say. A lost stream shows as a new epoch; one that a failover cut short shows only when `fork` is asked.
 */
export class Inbox {
  readonly #redis: RedisClient
  readonly #keys: Keys
  readonly #options: Required<InboxOptions>

  constructor(redis: RedisClient, keys: Keys, options: InboxOptions = {}) {
    this.#redis = redis
    this.#keys = keys
    this.#options = { ...defaults, onGarbage: () => undefined, ...options }
  }

  /**
   * Appends a message, unless its sender has used the messageId before, and says where to push it: in one round trip.
   *
   * @throws SessionError `redis_unavailable` (whether it was appended is not known: repeat it with the same messageId)
   */
  async append({ to, from, clientType, messageId, payload }: NewMessage): Promise<Appended> {
    const keys = [
      this.#keys.dedupe(to, from, messageId),
      this.#keys.inboxMeta(to),
      this.#keys.inbox(to),
      this.#keys.sessions(to),
    ]
    const { maxLength, retentionMs, dedupeMs, onGarbage } = this.#options
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    const args = [from, clientType, messageId, bytes, createEpoch(), maxLength, retentionMs, this.#metaTtl, dedupeMs]
    const reply = await guard(sendScript(this.#redis, 'append', keys, args))
    const [seq, sentAt, epoch, duplicate, sessions] = reply
    return {
      seq,
      epoch,
      sentAt,
      duplicate: duplicate === 1,
      sessions: readSessions(to, sessions, onGarbage).filter(isOnline),
    }
  }

  /** The messages after `afterSeq`, oldest first, and where the stream stands at that moment. */
  async read(user: UserRef, afterSeq: number, limits: ReadLimits = {}): Promise<InboxPage> {
    const count = Math.min(limits.count ?? MAX_COUNT, MAX_COUNT)
    const args = [createEpoch(), this.#metaTtl, afterSeq, count, limits.bytes ?? MAX_BYTES]
    const keys = [this.#keys.inboxMeta(user), this.#keys.inbox(user)]
    const reply = await guard(sendBinaryScript(this.#redis, 'read-inbox', keys, args))
    const [epoch, seq, first, entries] = reply
    return { ...streamState(epoch.toString(), seq, first), messages: entries.map(readEntry) }
  }

  /** Stores what devices have acknowledged. One round trip; a cursor behind the stored one changes nothing. */
  async saveCursors(entries: readonly CursorEntry[]): Promise<void> {
    const calls = entries.map(({ user, device, epoch, seq }) => (target: Commands) => {
      const keys = [this.#keys.cursors(user), this.#keys.inboxMeta(user)]
      return sendScript(target, 'save-cursor', keys, [deviceField(device), epoch, seq, this.#metaTtl, MAX_CURSORS])
    })
    await sendAll(this.#redis, calls)
  }

  /**
   * Begins a new epoch when the stream, still in `epoch`, is behind a seq that was delivered from it: a failover cut it
   * short, and the next messages would reuse numbers that devices have seen. Seen only until the stream has grown past
   * `deliveredSeq` again.
   */
  async fork(user: UserRef, epoch: string, deliveredSeq: number): Promise<StreamState> {
    const keys = [this.#keys.inboxMeta(user), this.#keys.inbox(user)]
    const args = [createEpoch(), this.#metaTtl, epoch, deliveredSeq]
    return streamState(...(await guard(sendScript(this.#redis, 'fork-inbox', keys, args))))
  }

  // An epoch that ended before its messages would look like a loss.
  get #metaTtl(): number {
    return Math.max(this.#options.cursorRetentionMs, this.#options.retentionMs)
  }
}

function readEntry([id, [, from, , clientType, , messageId, , sentAt, , payload]]: [Buffer, Buffer[]]): StoredMessage {
  return {
    seq: Number.parseInt(String(id), 10),
    from: String(from),
    clientType: Number(clientType),
    messageId: String(messageId),
    sentAt: Number(sentAt),
    payload: payload ?? new Uint8Array(),
  }
}
