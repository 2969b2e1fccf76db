import { setTimeout as delay } from 'node:timers/promises'
import type { ChainableCommander } from 'ioredis'
import { parseIncarnation } from './brokers/broker.ts'
import { decideLogin, findSuccessor, maxDevicesOf, type DevicePolicy } from './device-policy.ts'
import { SessionError } from './errors.ts'
import { KeyedLock } from './keyed-lock.ts'
import { sendFunction } from './functions.ts'
import { deviceField, indexMember, parseIndexMember, type IndexEntry, type Keys } from './keys.ts'
import {
  callFunction,
  gatherCalls,
  guard,
  isUnavailable,
  sendAll,
  type Commands,
  type RedisClient,
} from './redis/redis.ts'
import { defaults } from './defaults.ts'
import { formatFlag, LISTS, type InboxFormat } from './inbox/inbox-format.ts'
import { isOnline, readSessionFields, readSessions, type OnGarbage } from './stored-sessions.ts'
import { parseCursor, streamState, type Cursor, type StreamState } from './inbox/stream-state.ts'
import {
  formatUserSession,
  isNewer,
  isSameDevice,
  OFFLINE,
  ONLINE,
  type SessionDraft,
  type UserRef,
  type UserSession,
} from './user-session.ts'

export interface DirectoryOptions {
  readonly offlineRetentionMs?: number
  readonly cursorRetentionMs?: number
  readonly contendedMs?: number
  readonly format?: InboxFormat
  readonly onGarbage?: OnGarbage
}

export interface LoginResult {
  readonly session: UserSession
  /** The same device's former session, when it was online over another connection. */
  readonly replaced?: UserSession
  /** Sessions that the policy no longer allows; removed already, their brokers have to be told. */
  readonly displaced: readonly UserSession[]
  /** Those of `displaced` for which the bound on all devices was the reason. */
  readonly crowdedOut: readonly UserSession[]
  /** The user's other sessions that are still online. */
  readonly others: readonly UserSession[]
  readonly inbox: StreamState
  /** What this device last acknowledged. */
  readonly cursor?: Cursor
}

/** `displaced`: older sessions that have no place beside the one written again. `crowdedOut`: by the bound on all devices. */
export type ReassertResult =
  | ({ readonly kept: true; readonly session: UserSession } & Pick<LoginResult, 'displaced' | 'crowdedOut'>)
  | {
      readonly kept: false
      readonly by: UserSession
      readonly reason: 'replaced' | 'displaced'
      readonly crowdedOut: boolean
    }

export interface VerifyEntry {
  readonly user: UserRef
  readonly sessions: readonly UserSession[]
}

export interface VerifyResult {
  /** Undefined when Redis knows no inbox (any more): reading it makes a new epoch. */
  readonly inbox: StreamState | undefined
  /** Those of the given sessions that Redis does not show as online over the same connection. */
  readonly stale: readonly UserSession[]
}

/** Whose an index is: a broker, and its process as a session names it. */
export type Owner = Pick<UserSession, 'brokerId' | 'incarnation'>

/** What one read of a user's sessions found. */
interface Snapshot {
  readonly time: number
  readonly fingerprint: string
  readonly sessions: readonly UserSession[]
}

interface UserState {
  readonly inbox: StreamState
  readonly cursor?: Cursor
}

/** What to write and to remove, and what comes of it. */
interface Commit<Result> {
  readonly session: UserSession
  readonly remove: readonly UserSession[]
  readonly finish: (state: UserState) => Result
}

const MAX_PAUSE_MS = 200
/** Stands for a session that cannot be read because a foreign key is in its place. */
const FOREIGN = 'foreign'

/**
 * Who is logged in where. Sessions are indexed before they are written and unindexed after they are removed (I1), every
 * change compares the connection in the same atomic step (I2), and a login commits only what it has decided upon (I4).
 *
 * All changes for one incarnation have to go through one Directory: it orders those of the same device, so that the end
 * of an old connection never unindexes the new one. Every method throws SessionError `redis_unavailable` or `redis_failed`.
 */
export class Directory {
  readonly #redis: RedisClient
  readonly #keys: Keys
  readonly #policy: DevicePolicy
  readonly #options: Required<DirectoryOptions>
  readonly #locks = new KeyedLock()

  constructor(redis: RedisClient, keys: Keys, policy: DevicePolicy, options: DirectoryOptions = {}) {
    this.#redis = redis
    this.#keys = keys
    this.#policy = policy
    this.#options = { ...defaults, format: LISTS, onGarbage: () => undefined, ...options }
  }

  /**
   * Logs a device in, in two round trips when nobody interferes.
   *
   * @param isWanted asked before each attempt: a login given up meanwhile must not displace the one that came after it
   * @throws SessionError `contended` when other logins of the user kept coming first; `session_unknown`: call `remove`;
   *   `login_abandoned`
   */
  async login(draft: SessionDraft, isWanted: () => boolean = () => true): Promise<LoginResult> {
    return this.#change(draft, ({ time, sessions }) => {
      if (!isWanted()) throw new SessionError('login_abandoned', 'the connection ended before its session was written')
      // Our own commit of which no answer came, before a retry.
      const known = sessions.filter(({ connectionId }) => connectionId !== draft.connectionId)
      const { replaced, displaced, crowdedOut } = decideLogin(this.#policy, known, { device: draft })
      const loginAt = Math.max(time, ...sessions.map((session) => session.loginAt + 1))
      const session: UserSession = { ...draft, connectState: ONLINE, loginAt }
      const others = known.filter((other) => isOnline(other) && other !== replaced && !displaced.includes(other))
      return {
        session,
        remove: [...displaced, ...surplus(known, displaced, draft, maxDevicesOf(this.#policy))],
        finish: (state) => ({ session, ...(replaced && { replaced }), displaced, crowdedOut, others, ...state }),
      }
    })
  }

  /**
   * Writes a session of a living connection again after Redis lost it, under its own loginAt, unless a newer login of
   * the user leaves it no place.
   *
   * @throws SessionError `contended`
   */
  async reassert(mine: UserSession): Promise<ReassertResult> {
    const session: UserSession = { ...mine, connectState: ONLINE }
    return this.#change<ReassertResult>(mine, ({ sessions }) => {
      const by = findSuccessor(this.#policy, sessions, session)
      if (by) {
        const reason = isSameDevice(by, session) ? 'replaced' : 'displaced'
        const crowdedOut = findSuccessor({ ...this.#policy, maxDevices: Infinity }, sessions, session) === undefined
        return { kept: false, by, reason, crowdedOut }
      }
      const known = sessions.filter(({ connectionId }) => connectionId !== mine.connectionId)
      const { displaced, crowdedOut } = decideLogin(this.#policy, known, { device: session })
      return { session, remove: displaced, finish: () => ({ kept: true, session, displaced, crowdedOut }) }
    })
  }

  /** Marks a session as offline when its connection has ended. It stays indexed. Returns whether it was still stored. */
  async setOffline(session: UserSession): Promise<boolean> {
    const offline = formatUserSession({ ...session, connectState: OFFLINE })
    const args = [deviceField(session), session.connectionId, offline, this.#options.offlineRetentionMs]
    return (await callFunction(this.#redis, 'set-offline', [this.#keys.sessions(session)], args)) === 1
  }

  /**
   * Removes a session, unless its device has another connection by now, and then unindexes it. Also for one that was
   * replaced or displaced elsewhere, or that may not have been written. Returns whether it was still stored.
   */
  async remove(session: SessionDraft): Promise<boolean> {
    const member = indexMember(session, session)
    return this.#locks.run(member, async () => {
      const args = [deviceField(session), session.connectionId, session.incarnation, this.#options.offlineRetentionMs]
      const outcome = await callFunction(this.#redis, 'remove-session', [this.#keys.sessions(session)], args)
      // 2: this incarnation holds the device by a newer connection, and needs the index entry.
      if (outcome !== 2) await guard(this.#redis.srem(this.#index(session), member))
      return outcome === 1
    })
  }

  /** The online sessions of each user, in the order of the users. One round trip. */
  async sessionsOf(users: readonly UserRef[]): Promise<UserSession[][]> {
    const replies = await this.#ask(users, (target, user) => target.hvals(this.#keys.sessions(user)))
    return users.map((user, at) => readSessions(user, replies[at] ?? [], this.#options.onGarbage).filter(isOnline))
  }

  /**
   * Indexes sessions of living connections again: when Redis lost its data between the two steps of a login, the index may
   * miss a session that is there (I1). One round trip.
   */
  async reindex(sessions: readonly UserSession[]): Promise<void> {
    await sendAll(
      this.#redis,
      sessions.map((session) => (target: Commands) => target.sadd(this.#index(session), indexMember(session, session))),
    )
  }

  /**
   * A part of what the index of an incarnation names. With the cursor '0' the first part, with the cursor of each the next one;
   * '0' comes back with the last. An entry may come twice; one that cannot be read is left out.
   */
  async readIndex(owner: Owner, cursor: string, count: number): Promise<{ cursor: string; entries: IndexEntry[] }> {
    const [next, members] = await guard(this.#redis.sscan(this.#index(owner), cursor, 'COUNT', count))
    return { cursor: next, entries: members.flatMap((member) => parseIndexMember(member) ?? []) }
  }

  /** How many devices the index of an incarnation names. */
  countIndexed(owner: Owner): Promise<number> {
    return guard(this.#redis.scard(this.#index(owner)))
  }

  /**
   * What became of a device that the owner's index names and no connection of the owner has: its session when that is the
   * owner's, which then has to be ended; else undefined, and the index names it no more.
   *
   * @param isHeld asked again when no login of the device can come between
   */
  async reclaim(owner: Owner, entry: IndexEntry, isHeld: () => boolean): Promise<UserSession | undefined> {
    const { user, device } = entry
    const member = indexMember(user, device)
    return this.#locks.run(member, async () => {
      if (isHeld()) return undefined
      const json = await guard(this.#redis.hget(this.#keys.sessions(user), deviceField(device)), this.#redis)
      const [session] = readSessions(user, [json], this.#options.onGarbage)
      if (session?.incarnation === owner.incarnation) return session
      await guard(this.#redis.srem(this.#index(owner), member))
      return undefined
    })
  }

  /** Compares what a gateway holds with what Redis knows, for many users in one round trip. */
  async verify(entries: readonly VerifyEntry[]): Promise<VerifyResult[]> {
    const held = entries.flatMap(({ sessions }) => sessions)
    const [states, stored] = await Promise.all([
      this.#ask<VerifyEntry, [string, number, number] | null>(
        entries,
        (target, { user }) => {
          const keys = [this.#keys.inboxMeta(user), this.#keys.inbox(user), this.#keys.inboxStream(user)]
          return sendFunction(target, 'read-state', keys, [])
        },
        null,
      ),
      this.#ask(held, (target, session) => target.hget(this.#keys.sessions(session), deviceField(session)), FOREIGN),
    ])
    // Where there is a foreign key nothing can be written: to compare again next time is all that is left.
    const present = new Set(
      held.filter((session, at) => stored[at] === FOREIGN || this.#isHeld(session, stored[at] ?? null)),
    )
    return entries.map(({ sessions }, at) => {
      const state = states[at]
      return {
        inbox: state ? streamState(...state) : undefined,
        stale: sessions.filter((session) => !present.has(session)),
      }
    })
  }

  #isHeld(session: UserSession, json: string | null): boolean {
    const [stored] = readSessions(session, [json], this.#options.onGarbage)
    return stored !== undefined && isOnline(stored) && stored.connectionId === session.connectionId
  }

  #ask<Item, Reply>(
    items: readonly Item[],
    ask: (target: Commands, item: Item) => Promise<Reply> | ChainableCommander,
    foreign?: Reply,
  ): Promise<Reply[]> {
    return sendAll(
      this.#redis,
      items.map((item) => (target: Commands) => ask(target, item)),
      foreign,
    )
  }

  /** Index first, then read, decide and commit, until nothing has changed between reading and committing. */
  async #change<Result extends object>(
    owner: SessionDraft,
    decide: (snapshot: Snapshot) => Commit<Result> | Result,
  ): Promise<Result> {
    const member = indexMember(owner, owner)
    return this.#locks.run(member, async () => {
      const deadline = performance.now() + this.#options.contendedMs
      gatherCalls(this.#redis)
      const indexed = guard(this.#redis.sadd(this.#index(owner), member), this.#redis)
      for (let attempt = 1; ; attempt++) {
        const [snapshot] = await Promise.all([this.#read(owner), indexed])
        const decision = decide(snapshot)
        if (!('finish' in decision)) return decision
        const state = await this.#commit(snapshot, decision).catch(doubtSession)
        if (state) return decision.finish(state)
        if (performance.now() > deadline) {
          throw new SessionError('contended', 'other logins of the same user kept coming first; try again')
        }
        await delay(Math.random() * Math.min(MAX_PAUSE_MS, 2 ** attempt))
      }
    })
  }

  async #read(user: UserRef): Promise<Snapshot> {
    const [time, fingerprint, flat] = await callFunction(this.#redis, 'read-sessions', [this.#keys.sessions(user)], [])
    return { time, fingerprint, sessions: readSessionFields(user, flat, this.#options.onGarbage) }
  }

  async #commit({ fingerprint }: Snapshot, { session, remove }: Commit<unknown>): Promise<UserState | undefined> {
    const keys = [
      this.#keys.sessions(session),
      this.#keys.inboxMeta(session),
      this.#keys.inbox(session),
      this.#keys.inboxStream(session),
      this.#keys.cursors(session),
    ]
    const reply = await callFunction(this.#redis, 'commit-session', keys, [
      fingerprint,
      deviceField(session),
      formatUserSession(session),
      this.#options.cursorRetentionMs,
      defaults.directoryRetentionMs,
      formatFlag(this.#options.format),
      ...remove.map(deviceField),
    ])
    if (reply === null) return undefined
    const [epoch, seq, first, stored] = reply
    const cursor = parseCursor(stored)
    return { inbox: streamState(epoch, seq, first), ...(cursor && { cursor }) }
  }

  #index({ brokerId, incarnation }: Owner): string {
    return this.#keys.index(brokerId, parseIncarnation(incarnation).bootId)
  }
}

/** Says of a failed write that it may have been carried out. */
function doubtSession(cause: unknown): never {
  if (!isUnavailable(cause)) throw cause
  throw new SessionError('session_unknown', 'Redis went away while a session was being written', { cause })
}

/** The oldest offline sessions beyond the most devices: a client that invents a new imei each time must not fill Redis. */
function surplus(
  sessions: readonly UserSession[],
  displaced: readonly UserSession[],
  draft: SessionDraft,
  maxDevices: number,
): readonly UserSession[] {
  const staying = sessions.filter((session) => !displaced.includes(session) && !isSameDevice(session, draft))
  return staying
    .filter((session) => !isOnline(session))
    .toSorted((a, b) => (isNewer(a, b) ? 1 : -1))
    .slice(0, Math.max(0, staying.length + 1 - maxDevices))
}
