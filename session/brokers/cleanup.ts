import {
  formatIncarnation,
  parseLease,
  parseRegistered,
  type Incarnation,
  type RegisteredIncarnation,
} from './broker.ts'
import { SessionError } from '../errors.ts'
import { sendFunction, type FunctionArgument } from '../functions.ts'
import { brokerField, deviceField, parseIndexMember, type IndexEntry, type Keys } from '../keys.ts'
import { callFunction, guard, sendAll, type Commands, type RedisClient } from '../redis/redis.ts'
import { defaults } from '../defaults.ts'
import { swapField } from '../swap-field.ts'

export interface CleanOptions {
  /** How long after the first pass the last one may be: longer than any process sleeps and then goes on. */
  readonly graceMs?: number
  /** Sessions looked at in one round trip. */
  readonly batch?: number
  /** As the cluster's gateways have it: when what is left of a user without a device online ends. */
  readonly offlineRetentionMs: number
  readonly signal?: AbortSignal
}

export interface CleanResult {
  /** Sessions removed by this pass. */
  readonly removed: number
  /** Sessions removed by all passes, whoever made them, also by one that broke off. */
  readonly removedInAll: number
  /** Index entries or sessions that could not be read, and so may be left behind. */
  readonly orphans: number
  /** Nothing is left: index and register no longer know the incarnation. Else come again after `waitMs`. */
  readonly finished: boolean
  readonly waitMs: number
}

type Cleaned = Pick<Incarnation, 'brokerId' | 'podUid' | 'bootId'>

/**
 * Removes the sessions that an incarnation left behind, and none of any other. The caller has proof that it is gone; its
 * lease is checked here.
 *
 * A process that was only frozen can write one more session before it learns that it was replaced. So the first pass
 * removes sessions but keeps index and register entry, with a mark of the time; a pass after `graceMs` looks again and
 * then ends them. Safe to repeat, to break off anywhere, and to run twice at once.
 *
 * @throws SessionError `incarnation_alive` while the lease names this boot; `redis_unavailable`; the signal's reason
 */
export async function cleanIncarnation(
  redis: RedisClient,
  keys: Keys,
  incarnation: Cleaned,
  options: CleanOptions,
): Promise<CleanResult> {
  const graceMs = options.graceMs ?? defaults.graceMs
  const index = keys.index(incarnation.brokerId, incarnation.bootId)
  const noted = keys.removed(incarnation.brokerId, incarnation.bootId)
  const { value, time } = await readEntry(redis, keys, incarnation)
  const entry = parseRegistered(value)
  const last = entry?.cleanedAt !== undefined && time - entry.cleanedAt >= graceMs
  const counts = await removeSessions(redis, keys, incarnation, last, options)
  const left = await guard(redis.scard(index))
  const result = { ...counts, removedInAll: await guard(redis.scard(noted)) }
  if (left === 0 && value === '') return { ...result, finished: true, waitMs: 0 }
  if (last) {
    await refuseAlive(redis, keys, incarnation)
    if (left > 0) return { ...result, finished: false, waitMs: graceMs }
    // Before the entry: without that nobody would come again for it.
    await guard(redis.unlink(noted))
    // A process that lives after all has written its entry anew, and keeps it.
    const [, found, swapped] = await sendSwap(redis, keys, incarnation, value, '')
    const finished = swapped === 1 || found === ''
    return { ...result, finished, waitMs: finished ? 0 : graceMs }
  }
  // The mark is set when a pass is over, for one that broke off was none.
  await markEntry(redis, keys, incarnation, value)
  const waitMs = entry?.cleanedAt === undefined ? graceMs : entry.cleanedAt + graceMs - time
  return { ...result, finished: false, waitMs }
}

/** Incarnations of the broker in the register, other than the caller's own. Unreadable entries are left out. */
export async function formerIncarnations(
  redis: RedisClient,
  keys: Keys,
  brokerId: string,
  ownBootId: string,
): Promise<RegisteredIncarnation[]> {
  const all = await readIncarnations(redis, keys)
  return all.filter((entry) => entry.brokerId === brokerId && entry.bootId !== ownBootId)
}

/** What the register says of one incarnation now; undefined when it is not there any more. */
export async function readIncarnation(
  redis: RedisClient,
  keys: Keys,
  { brokerId, bootId }: Pick<Incarnation, 'brokerId' | 'bootId'>,
): Promise<RegisteredIncarnation | undefined> {
  return parseRegistered(await guard(redis.hget(keys.brokers(), brokerField(brokerId, bootId))))
}

/** Every incarnation that is not yet cleaned, alive or not. */
export async function readIncarnations(redis: RedisClient, keys: Keys): Promise<RegisteredIncarnation[]> {
  const entries = await guard(redis.hgetall(keys.brokers()))
  return Object.values(entries).flatMap((value) => parseRegistered(value) ?? [])
}

/** Walks the index in bounded steps. SSCAN shows every member that is there all the time; later ones are for the next pass. */
async function removeSessions(
  redis: RedisClient,
  keys: Keys,
  incarnation: Cleaned,
  unindex: boolean,
  { batch = 200, offlineRetentionMs, signal }: CleanOptions,
): Promise<{ removed: number; orphans: number }> {
  const index = keys.index(incarnation.brokerId, incarnation.bootId)
  const total = { removed: 0, orphans: 0 }
  let cursor = '0'
  do {
    signal?.throwIfAborted()
    const [[next, members]] = await Promise.all([
      guard(redis.sscan(index, cursor, 'COUNT', batch)),
      refuseAlive(redis, keys, incarnation),
    ])
    cursor = next
    const known = members.flatMap((member) => parseIndexMember(member) ?? [])
    const { own, unreadable } = await findOwn(redis, keys, incarnation, known)
    total.orphans += members.length - known.length + unreadable
    if (own.length > 0) {
      await noteFound(redis, keys, incarnation, own)
      total.removed += await removeOwn(redis, keys, own, offlineRetentionMs)
    }
    // Removed first, unindexed then: a crash in between only makes the next pass look once more.
    if (unindex && members.length > 0) await guard(redis.srem(index, ...members))
  } while (cursor !== '0')
  return total
}

/** A session of the incarnation, by the connection that held it. */
interface OwnSession extends IndexEntry {
  readonly connectionId: string
}

/** Which sessions of a batch are the incarnation's, and how many cannot be read. */
async function findOwn(
  redis: RedisClient,
  keys: Keys,
  incarnation: Cleaned,
  entries: readonly IndexEntry[],
): Promise<{ own: OwnSession[]; unreadable: number }> {
  const replies = await callForEach(redis, keys, 'find-own', entries, formatIncarnation(incarnation), ({ device }) => [
    deviceField(device),
  ])
  const found = replies.flat()
  const own = entries.flatMap((entry, at): OwnSession[] => {
    const connectionId = found[at]
    return typeof connectionId === 'string' ? [{ ...entry, connectionId }] : []
  })
  return { own, unreadable: found.filter((each) => each === 1).length }
}

/**
 * Notes which sessions are about to be removed: before that, so that whoever goes on after a crash in between counts each, and
 * counts it once.
 */
async function noteFound(
  redis: RedisClient,
  keys: Keys,
  { brokerId, bootId }: Cleaned,
  own: readonly OwnSession[],
): Promise<void> {
  const ids = own.map(({ connectionId }) => connectionId)
  await callFunction(redis, 'note-removed', [keys.removed(brokerId, bootId)], [defaults.cleanupRetentionMs, ...ids])
}

/** Removes those sessions that the same connections hold still; returns how many. */
async function removeOwn(
  redis: RedisClient,
  keys: Keys,
  own: readonly OwnSession[],
  offlineRetentionMs: number,
): Promise<number> {
  // As it is in the session's JSON: the function looks for it there, which costs less than to parse that once more.
  const removed = await callForEach(redis, keys, 'clean-sessions', own, offlineRetentionMs, (session) => [
    deviceField(session.device),
    JSON.stringify(session.connectionId),
  ])
  return removed.reduce((sum, each) => sum + each, 0)
}

/**
 * Sessions that one call of a function looks at: it holds up Redis for well under a millisecond, and for a few when each is of a user
 * with very many devices.
 */
const MOST_KEYS = 20

/** Calls a function for sessions, in as few calls as may be. A Redis Cluster takes no keys of two slots in one. */
function callForEach<Name extends 'find-own' | 'clean-sessions', Entry extends IndexEntry>(
  redis: RedisClient,
  keys: Keys,
  name: Name,
  entries: readonly Entry[],
  first: FunctionArgument,
  argsOf: (entry: Entry) => readonly FunctionArgument[],
) {
  const size = redis.isCluster ? 1 : MOST_KEYS
  const groups = Array.from({ length: Math.ceil(entries.length / size) }, (_, at) =>
    entries.slice(at * size, (at + 1) * size),
  )
  return sendAll(
    redis,
    groups.map((group) => (target: Commands) => {
      const names = group.map(({ user }) => keys.sessions(user))
      return sendFunction(target, name, names, [first, ...group.flatMap(argsOf)])
    }),
  )
}

async function refuseAlive(redis: RedisClient, keys: Keys, { brokerId, bootId }: Cleaned): Promise<void> {
  const lease = parseLease(await guard(redis.get(keys.lease(brokerId))))
  if (lease?.bootId !== bootId) return
  throw new SessionError('incarnation_alive', `boot ${bootId} of broker ${brokerId} holds its lease and is not cleaned`)
}

async function readEntry(
  redis: RedisClient,
  keys: Keys,
  incarnation: Cleaned,
): Promise<{ time: number; value: string }> {
  // Never the value of an entry: only reads.
  const [time, value] = await sendSwap(redis, keys, incarnation, '?', '')
  return { time, value }
}

/**
 * Notes that a pass is over; the first mark's time counts. An entry that was written meanwhile is of another who cleans, or of a
 * process that lives after all, and stays as it is.
 */
async function markEntry(redis: RedisClient, keys: Keys, incarnation: Cleaned, value: string): Promise<void> {
  const { brokerId, podUid, bootId } = incarnation
  const known = parseRegistered(value) ?? { brokerId, podUid, bootId, host: '', startedAt: 0 }
  if (known.cleanedAt !== undefined) return
  const { time } = await readEntry(redis, keys, incarnation)
  await sendSwap(redis, keys, incarnation, value, JSON.stringify({ ...known, cleanedAt: time }))
}

function sendSwap(
  redis: RedisClient,
  keys: Keys,
  { brokerId, bootId }: Cleaned,
  expected: string,
  value: string,
): Promise<[time: number, found: string, swapped: 0 | 1]> {
  return swapField(redis, keys.brokers(), brokerField(brokerId, bootId), expected, value)
}
