import { AppendBatch } from './append-batch.ts'
import { deviceField, type Keys } from '../keys.ts'
import { sendFunction } from '../functions.ts'
import { callBinaryFunction, callFunction, sendAll, type Commands, type RedisClient } from '../redis/redis.ts'
import { defaults } from '../defaults.ts'
import { digestOf, packTail, readEntry, type MessageContent, type StoredMessage } from './entry.ts'
import { formatFlag, LISTS, type InboxFormat } from './inbox-format.ts'
import { metaTtlOf } from './meta-ttl.ts'
import { streamState, type StreamState } from './stream-state.ts'
import type { Device, UserRef } from '../user-session.ts'

export type { StoredMessage } from './entry.ts'

export interface InboxOptions {
  /** Messages kept; older ones are trimmed. */
  readonly maxLength?: number
  /** How long a message is kept. */
  readonly retentionMs?: number
  /** How long cursors and the epoch are kept when nothing happens. */
  readonly cursorRetentionMs?: number
  /** How long a repeated messageId is recognized. */
  readonly dedupeMs?: number
  readonly format?: InboxFormat
}

export interface NewMessage extends MessageContent {
  readonly to: UserRef
}

export interface Appended {
  readonly seq: number
  readonly epoch: string
  /** Milliseconds since 1970 by Redis' clock. */
  readonly sentAt: number
  /** The message had been appended before, under this seq; nothing was appended now. */
  readonly duplicate: boolean
  /** The brokers of the recipient's online sessions, each once. */
  readonly brokers: readonly OnlineBroker[]
}

/** A process that holds a session. */
export interface OnlineBroker {
  readonly brokerId: string
  /** Its boot id; '' where the session does not tell. */
  readonly incarnation: string
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
 * The durable messages of users: one log each, with consecutive seq from 1 (decision 20).
 *
 * What Redis loses is lost here too: a message counts as accepted when the primary has it, on disk or on a replica only as
 * its own settings say. But the loss shows: a stream that is gone begins under a new epoch, and one that may have been cut,
 * because another primary or another life of this one had it last, goes on under a fork of its epoch (I5).
 */
export class Inbox {
  readonly #redis: RedisClient
  readonly #keys: Keys
  readonly #options: Required<InboxOptions>
  readonly #appends: AppendBatch

  constructor(redis: RedisClient, keys: Keys, options: InboxOptions = {}) {
    this.#redis = redis
    this.#keys = keys
    this.#options = { ...defaults, format: LISTS, ...options }
    const { maxLength, retentionMs, dedupeMs } = this.#options
    this.#appends = new AppendBatch(redis, () => [maxLength, retentionMs, this.#metaTtl, dedupeMs, this.#lists])
  }

  /**
   * Appends a message, unless its sender has used the messageId before, and says where to push it: in one round trip.
   *
   * @throws SessionError `redis_unavailable` (whether it was appended is not known: repeat it with the same messageId)
   */
  async append({ to, ...message }: NewMessage): Promise<Appended> {
    const keys = this.#keys
    const { tail, payloadAt } = packTail(message)
    const [seq, sentAt, epoch, duplicate, brokers] = await this.#appends.add({
      keys: [keys.seen(to), keys.inboxMeta(to), keys.inbox(to), keys.sessions(to)],
      args: [digestOf(tail, payloadAt), tail],
    })
    return {
      seq,
      epoch,
      sentAt,
      duplicate: duplicate === 1,
      brokers: brokers === '' ? [] : brokers.split(' ').map(parseBroker),
    }
  }

  /** The messages after `afterSeq`, oldest first, and where the stream stands at that moment. */
  async read(user: UserRef, afterSeq: number, limits: ReadLimits = {}): Promise<InboxPage> {
    const count = Math.min(limits.count ?? MAX_COUNT, MAX_COUNT)
    const args = [this.#metaTtl, this.#lists, afterSeq, count, limits.bytes ?? MAX_BYTES]
    const reply = await callBinaryFunction(this.#redis, 'read-inbox', this.#keysOf(user), args)
    const [epoch, seq, first, entries] = reply
    return { ...streamState(epoch.toString(), seq, first), messages: entries.map(readEntry) }
  }

  /**
   * Stores what devices have acknowledged. One round trip; a cursor behind the stored one changes nothing, and where a foreign
   * key is in the place of a user's cursors they are left out.
   */
  async saveCursors(entries: readonly CursorEntry[]): Promise<void> {
    const calls = entries.map(({ user, device, epoch, seq }) => (target: Commands) => {
      const keys = [this.#keys.cursors(user), this.#keys.inboxMeta(user)]
      return sendFunction(target, 'save-cursor', keys, [deviceField(device), epoch, seq, this.#metaTtl, MAX_CURSORS])
    })
    await sendAll(this.#redis, calls, 0)
  }

  /**
   * Forks the epoch when the stream, still in `epoch`, is behind a seq that was given out under it: somebody has put older
   * data into a Redis that runs, and the next messages would reuse numbers that devices have seen.
   */
  async fork(user: UserRef, epoch: string, deliveredSeq: number): Promise<StreamState> {
    const args = [this.#metaTtl, this.#lists, epoch, deliveredSeq]
    return streamState(...(await callFunction(this.#redis, 'fork-inbox', this.#keysOf(user), args)))
  }

  #keysOf(user: UserRef): string[] {
    return [this.#keys.inboxMeta(user), this.#keys.inbox(user), this.#keys.inboxStream(user)]
  }

  get #lists(): number {
    return formatFlag(this.#options.format)
  }

  get #metaTtl(): number {
    return metaTtlOf(this.#options)
  }
}

/** `<brokerId>/<bootId>`; a broker's name is a DNS label. */
function parseBroker(text: string): OnlineBroker {
  const at = text.indexOf('/')
  return { brokerId: text.slice(0, at), incarnation: text.slice(at + 1) }
}
