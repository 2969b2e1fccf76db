import { SessionError } from './errors.ts'
import type { Device, UserRef } from './user-session.ts'

/**
 * The names of all keys in Redis. Ids are percent-encoded, and all keys of one user, or of one broker, share a hash
 * tag: no `{`, `}` or `:` in an id reaches the key or the slot of another, and Redis Cluster keeps them together.
 */
export class Keys {
  readonly #prefix: string

  /** @throws SessionError `id_malformed` when the prefix holds a brace, which would take over the hash tag. */
  constructor(prefix = 'im:') {
    if (/[{}]/.test(prefix)) throw new SessionError('id_malformed', 'the key prefix must not contain { or }')
    this.#prefix = prefix
  }

  /** Hash: device field → session JSON. */
  sessions(user: UserRef): string {
    return this.#user(user, 'sessions')
  }

  /** List: entries of consecutive seq (entry.ts). */
  inbox(user: UserRef): string {
    return this.#user(user, 'inbox:list')
  }

  /** Stream: entry `<seq>-0`. An inbox as 0.2.0 has it. */
  inboxStream(user: UserRef): string {
    return this.#user(user, 'inbox')
  }

  /** String: where the list stands (list.lua). Hash: where the stream of 0.2.0 stands. */
  inboxMeta(user: UserRef): string {
    return this.#user(user, 'inbox:meta')
  }

  /** Hash: device field → `<epoch>:<seq>`. */
  cursors(user: UserRef): string {
    return this.#user(user, 'cursors')
  }

  /** What the keys of the meta data of all inboxes match, as SCAN has it. */
  everyInboxMeta(): string {
    return `${this.#prefix.replaceAll(/[*?[\]\\]/g, '\\$&')}{*}:inbox:meta`
  }

  /** List and stream of the inbox with these meta data. */
  inboxOfMeta(meta: string): { list: string; stream: string } {
    const stream = meta.slice(0, -':meta'.length)
    return { list: `${stream}:list`, stream }
  }

  /** String: `lists` once inboxes are written as lists. */
  inboxFormat(): string {
    return `${this.#prefix}inbox-format`
  }

  /** What the names of the hashes begin with that hold what came in the last minutes: `<number>`, or `<number>:<digits>` (dedupe.lua). */
  seen(user: UserRef): string {
    return this.#user(user, 'seen:')
  }

  /** Hash: broker field → every incarnation not yet cleaned. */
  brokers(): string {
    return `${this.#prefix}brokers`
  }

  /** Hash: name of a cluster → the ImCluster whose brokers are named after it. */
  clusters(): string {
    return `${this.#prefix}clusters`
  }

  /** String that expires: the lease of a broker. */
  lease(brokerId: string): string {
    return `${this.#prefix}broker:{${encodeId(brokerId)}}`
  }

  /** Set: index members of the sessions that this incarnation may hold. */
  index(brokerId: string, bootId: string): string {
    return `${this.lease(brokerId)}:${encodeId(bootId)}:sessions`
  }

  /** String that expires: how many clients an incarnation cut off when it left. */
  departure(brokerId: string, bootId: string): string {
    return `${this.lease(brokerId)}:${encodeId(bootId)}:departure`
  }

  /** Set: connections whose sessions a cleanup of this incarnation has found, and removes. */
  removed(brokerId: string, bootId: string): string {
    return `${this.lease(brokerId)}:${encodeId(bootId)}:removed`
  }

  /** String that expires: there only to be missed. The number leads it to one of a cluster's primaries. */
  canary(brokerId: string, bootId: string, number: number): string {
    return `${this.#prefix}canary:{${number}}:${encodeId(brokerId)}:${encodeId(bootId)}`
  }

  #user({ appId, userId }: UserRef, suffix: string): string {
    return `${this.#prefix}{${encodeAppId(appId)}:${encodeId(userId)}}:${suffix}`
  }
}

const kinds: readonly (readonly [pattern: RegExp, kind: string, type: string])[] = [
  [/\}:inbox:list$/, 'an inbox', 'list'],
  [/\}:inbox$/, 'an inbox', 'stream'],
  [/\}:inbox:meta$/, 'the meta data of an inbox', 'string or hash'],
  [/\}:cursors$/, 'the cursors of a user', 'hash'],
  [/\}:seen:/, 'what an inbox got lately', 'hash'],
  [/\}:dedupe:/, 'a record of a message', 'string'],
  [/broker:\{[^}]*\}:[^:]*:sessions$/, 'the index of a gateway', 'set'],
  [/broker:\{[^}]*\}:[^:]*:departure$/, 'what a gateway told when it left', 'string'],
  [/broker:\{[^}]*\}:[^:]*:removed$/, 'what a cleanup has removed', 'set'],
  [/\}:sessions$/, 'the sessions of a user', 'hash'],
  [/broker:\{[^}]*\}$/, 'the lease of a gateway', 'string'],
  [/canary:\{\d+\}:[^:]*:[^:]*$/, 'the canary of a gateway', 'string'],
  [/brokers$/, 'the register of gateways', 'hash'],
  [/inbox-format$/, 'the format of inboxes', 'string'],
  [/clusters$/, 'the register of clusters', 'hash'],
]

/** What a key of ours holds, for people, with its name. */
export function describeKey(key: string): string {
  const [, kind] = kinds.find(([pattern]) => pattern.test(key)) ?? []
  return `${kind ?? 'what belongs there'} (${key})`
}

/** Whether a key of ours may be of that type, as TYPE says it. */
export function isTypeOfKey(key: string, type: string): boolean {
  const [, , expected = ''] = kinds.find(([pattern]) => pattern.test(key)) ?? []
  return expected.split(' or ').includes(type)
}

/** Field of a device in the hashes of its user: `<clientType>:<imei>`. */
export function deviceField({ clientType, imei }: Device): string {
  return `${clientType}:${wellFormed(imei)}`
}

/** The device of a field, or undefined when it is none. */
export function parseDeviceField(field: string): Device | undefined {
  const match = /^(\d{1,3}):(.*)$/s.exec(field)
  return match ? { clientType: Number(match[1]), imei: match[2] ?? '' } : undefined
}

/** Field of an incarnation in the register of brokers: `<brokerId>/<bootId>`. */
export function brokerField(brokerId: string, bootId: string): string {
  return `${encodeId(brokerId)}/${encodeId(bootId)}`
}

/** Member of an incarnation's index: `<appId>:<userId>:<clientType>:<imei>`, the ids percent-encoded. */
export function indexMember({ appId, userId }: UserRef, { clientType, imei }: Device): string {
  return `${encodeAppId(appId)}:${encodeId(userId)}:${clientType}:${encodeId(imei)}`
}

/** A device of a user, as an index names it. */
export interface IndexEntry {
  readonly user: UserRef
  readonly device: Device
}

/** User and device of an index member, or undefined when it is none. */
export function parseIndexMember(member: string): IndexEntry | undefined {
  const match = /^(\d+):([^:]*):(\d{1,3}):([^:]*)$/.exec(member)
  if (!match) return undefined
  try {
    return {
      user: { appId: Number(match[1]), userId: decodeURIComponent(match[2] ?? '') },
      device: { clientType: Number(match[3]), imei: decodeURIComponent(match[4] ?? '') },
    }
  } catch {
    return undefined
  }
}

function encodeAppId(appId: number): string {
  if (!Number.isSafeInteger(appId) || appId < 0) throw new SessionError('id_malformed', 'an appId must be an integer')
  return String(appId)
}

function encodeId(id: string): string {
  return encodeURIComponent(wellFormed(id))
}

// A lone surrogate has no UTF-8: two different ids would end up as the same bytes.
function wellFormed(id: string): string {
  if (!id.isWellFormed()) throw new SessionError('id_malformed', 'an id is not well-formed Unicode')
  return id
}
