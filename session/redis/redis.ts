import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Cluster, Redis, type ChainableCommander, type RedisOptions } from 'ioredis'
import { corkForTurn } from '../../server/cork.ts'
import { SessionError } from '../errors.ts'
import {
  isLibraryMissing,
  loadLibrary,
  sendBinaryFunction,
  sendFunction,
  type FunctionArgument,
  type FunctionName,
} from '../functions.ts'
import { noteTarget, setNodeCredentials } from './redis-target.ts'
import { parseRedisUrl, type RedisTarget } from './redis-url.ts'
import { isTypeOfKey } from '../keys.ts'
import { NO_TLS, translateError } from './redis-errors.ts'
import { buildLoadingError, isLoading, watchLoading } from './redis-loading.ts'

export { isUnavailable } from './redis-errors.ts'
export { isLoading } from './redis-loading.ts'

/** A connection to one Redis (also found by sentinels), or to a Redis Cluster. */
export type RedisClient = Redis | Cluster

export interface RedisSettings {
  /** Shown by CLIENT LIST. */
  readonly connectionName: string
  /** A command without an answer for so long fails; twice as long without any answer, and the connection is dropped. */
  readonly commandTimeoutMs: number
  /** Told of every connection error, also repeated ones while Redis is away, and of a Redis that loads its data. Never holds a password or a payload. */
  readonly onError: (error: SessionError) => void
  /** Told of each call that found a foreign key, whatever the caller makes of it. */
  readonly onForeignKey?: (error: SessionError) => void
}

const MAX_BACKOFF_MS = 2000
const CLUSTER_REFRESH_MS = 2000

/**
 * A client that fails fast: while Redis is away every command is refused at once, none is queued and none is sent twice
 * behind the caller's back; it reconnects for ever. Returns at once: wait with `awaitReady`.
 *
 * @param url see parseRedisUrl
 * @throws SessionError `redis_url_invalid`
 */
export function connectRedis(url: string, settings: RedisSettings): RedisClient {
  const target = parseRedisUrl(url)
  const report = (error: Error) => {
    // The first command on a connection that has failed already: why it failed has been told, and this would hide it.
    if (error.message.startsWith("Stream isn't writeable")) return
    // A Redis without TLS waits for the end of the first line.
    const mute = target.tls && error.message === 'connect ETIMEDOUT'
    const told = mute
      ? new SessionError('redis_unavailable', `Redis does not answer, or ${NO_TLS}`)
      : translateError(error)
    settings.onError(told)
  }
  const client = target.kind === 'cluster' ? connectCluster(target, settings, report) : connectOne(target, settings)
  noteTarget(client, target)
  client.on('error', report)
  if (client instanceof Redis) watchLoading(client, client, settings.onError)
  else client.on('+node', (node: Redis) => watchLoading(node, client, settings.onError))
  if (settings.onForeignKey !== undefined) observers.set(client, settings.onForeignKey)
  return client
}

/**
 * Waits until commands are accepted.
 *
 * @throws SessionError `redis_unavailable` when the deadline passes first, or the client was closed; `redis_loading`
 */
export async function awaitReady(client: RedisClient, deadlineMs: number): Promise<void> {
  const signal = AbortSignal.timeout(deadlineMs)
  while (!isReady(client)) {
    if (signal.aborted || client.status === 'end') {
      if (isLoading(client)) throw buildLoadingError()
      throw new SessionError('redis_unavailable', `Redis was not ready within ${deadlineMs} ms`)
    }
    // A cluster has no event for "every node is ready".
    await delay(20, undefined, { signal }).catch(() => undefined)
  }
}

/** Closes a client: waits for commands under way, at most `deadlineMs`, then cuts the connection. Never throws. */
export async function closeRedis(client: RedisClient, deadlineMs = 1000): Promise<void> {
  if (client.status === 'ready') {
    const ended = once(client, 'end', { signal: AbortSignal.timeout(deadlineMs) })
    await Promise.all([client.quit(), ended]).catch(() => undefined)
  }
  // Also ends the attempts to reconnect.
  if (client.status !== 'end') client.disconnect()
}

/**
 * Runs a call, turning what ioredis throws into a SessionError.
 *
 * @param redis whose call it is, where it matters that one that loads its data is told from one that is away
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export async function guard<T>(call: Promise<T>, redis?: RedisClient): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw redis === undefined ? translateError(error) : translate(redis, error)
  }
}

/**
 * Calls a function of ours, and brings the library to Redis first where it is missing.
 *
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export function callFunction<Name extends FunctionName>(
  redis: RedisClient,
  name: Name,
  keys: readonly string[],
  args: readonly FunctionArgument[],
) {
  return guardKeys(redis, keys, () => sendFunction(redis, name, keys, args))
}

/** The same, with every string of the reply as bytes. */
export function callBinaryFunction<Name extends FunctionName>(
  redis: RedisClient,
  name: Name,
  keys: readonly string[],
  args: readonly FunctionArgument[],
) {
  return guardKeys(redis, keys, () => sendBinaryFunction(redis, name, keys, args))
}

/**
 * The replication ids of the primaries that answer. One that was never there before means that Redis may have lost what it had
 * taken last.
 *
 * @throws SessionError `redis_unavailable` or `redis_failed` when none answers
 */
export function readReplids(redis: RedisClient): Promise<string[]> {
  return guard(ofThoseThatAnswer(redis, (node) => withLibrary(node, () => sendFunction(node, 'replid', [], []))))
}

/** What the primaries answer; one that is away leaves the others alone. Rejects when all of them do. */
async function ofThoseThatAnswer<Reply>(redis: RedisClient, ask: (node: Redis) => Promise<Reply>): Promise<Reply[]> {
  const results = await Promise.allSettled(primariesOf(redis).map(ask))
  const answers = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const [first] = results
  if (answers.length === 0 && first?.status === 'rejected') throw first.reason
  return answers
}

/**
 * Asks every primary whether it takes writes, without writing.
 *
 * @throws SessionError `redis_full`, `redis_refuses_writes`, `redis_loading`, `redis_unavailable` or `redis_failed`
 */
export async function checkWritable(redis: RedisClient): Promise<void> {
  const asked = primariesOf(redis).map((node) => withLibrary(node, () => sendFunction(node, 'may-write', [], [])))
  await Promise.all(asked).catch((error: unknown) => {
    throw translate(redis, error)
  })
}

const observers = new WeakMap<RedisClient, (error: SessionError) => void>()

function tell(redis: RedisClient, error: SessionError): SessionError {
  if (error.code === 'redis_foreign_key') observers.get(redis)?.(error)
  return error
}

/** What ioredis says of a connection that is not ready, whatever the reason. */
const notReady = /^(Stream isn't writeable|Cluster isn't ready)/

/** As translateError, which does not know that what is connected is loading. */
function translate(redis: RedisClient, error: unknown, keys?: readonly string[]): SessionError {
  const refused = error instanceof Error && notReady.test(error.message)
  return refused && isLoading(redis) ? buildLoadingError(error) : translateError(error, keys)
}

/** As guard, for a call of a function: of a foreign key it finds out which it is. */
async function guardKeys<Reply>(redis: RedisClient, keys: readonly string[], call: () => Promise<Reply>) {
  gatherCalls(redis)
  try {
    return await withLibrary(redis, call)
  } catch (error) {
    throw await explain(redis, error, keys)
  }
}

/** The error of this area for what a call with these keys met; of a foreign key it finds out which it is, and tells. Never rejects. */
export async function explain(redis: RedisClient, error: unknown, keys: readonly string[]): Promise<SessionError> {
  let translated = translate(redis, error, keys)
  if (translated.code === 'redis_foreign_key') {
    const foreign = await findForeign(redis, keys).catch(() => [])
    if (foreign.length > 0) translated = translateError(error, foreign)
  }
  return tell(redis, translated)
}

/** All calls of one turn from now on share a write. Not on a cluster, where each may be for another node. */
export function gatherCalls(redis: RedisClient): void {
  if (redis instanceof Redis && redis.status === 'ready') corkForTurn(redis.stream)
}

async function findForeign(redis: RedisClient, keys: readonly string[]): Promise<string[]> {
  const types = await Promise.all(keys.map((key) => redis.type(key)))
  return keys.filter((key, at) => types[at] !== 'none' && !isTypeOfKey(key, types[at] ?? ''))
}

async function withLibrary<Reply>(redis: RedisClient, call: () => Promise<Reply>): Promise<Reply> {
  try {
    return await call()
  } catch (error) {
    if (!isLibraryMissing(error)) throw error
    await provideLibrary(redis)
    return call()
  }
}

const loading = new WeakMap<RedisClient, Promise<unknown>>()

/** Brings the library to every primary that answers; once, however many ask at the same time. */
async function provideLibrary(redis: RedisClient): Promise<void> {
  const load = loading.get(redis) ?? ofThoseThatAnswer(redis, loadLibrary)
  loading.set(redis, load)
  await load.finally(() => loading.delete(redis))
}

/** The client itself, or those of a cluster's primaries. */
export function primariesOf(redis: RedisClient): Redis[] {
  return redis instanceof Cluster ? redis.nodes('master') : [redis]
}

/**
 * Tells of each new connection to Redis, or to a primary of a cluster: it may be to another process than before, or to one that
 * has forgotten.
 */
export function onConnection(redis: RedisClient, connected: () => void): void {
  if (redis instanceof Redis) return void redis.on('ready', connected)
  const watch = (node: Redis) =>
    node.on('ready', () => {
      if (redis.nodes('master').includes(node)) connected()
    })
  redis.nodes().forEach(watch)
  redis.on('+node', watch)
}

/** What can be sent alone or within a pipeline. */
export type Commands = RedisClient | ChainableCommander

/**
 * Sends many commands in one round trip, without a transaction; on a cluster one by one, at once, as their keys are in
 * several slots. Results are in order; the first error is thrown after all have ended.
 *
 * @param calls each sends one command, which answers a `Reply`, to the target that it is given
 * @param foreign what stands for the reply of one that found a foreign key: one such key must not stop all others. It is
 *   thrown when absent
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export async function sendAll<Reply>(
  redis: RedisClient,
  calls: readonly ((target: Commands) => Promise<Reply> | ChainableCommander)[],
  foreign?: Reply,
): Promise<Reply[]> {
  let results = await sendOnce(redis, calls)
  const missing = calls.filter((_, at) => isLibraryMissing(results[at]?.[0]))
  if (missing.length > 0) {
    await guard(provideLibrary(redis))
    const again = await sendOnce(redis, missing)
    results = results.map((result) => (isLibraryMissing(result[0]) ? (again.shift() ?? result) : result))
  }
  return results.map(([error, value]) => {
    if (error) {
      const translated = tell(redis, translate(redis, error))
      if (foreign === undefined || translated.code !== 'redis_foreign_key') throw translated
      return foreign
    }
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a pipeline forgets what its commands answer
    return value as Reply
  })
}

type Result = [error: unknown, value?: unknown]

function sendOnce(redis: RedisClient, calls: readonly ((target: Commands) => unknown)[]): Promise<Result[]> {
  return redis instanceof Cluster ? sendEach(redis, calls) : sendPipeline(redis, calls)
}

async function sendEach(redis: Cluster, calls: readonly ((target: Commands) => unknown)[]): Promise<Result[]> {
  for (const node of redis.nodes('master')) if (node.status === 'ready') corkForTurn(node.stream)
  const settled = await Promise.allSettled(calls.map(async (call) => call(redis)))
  return settled.map((result) => (result.status === 'fulfilled' ? [null, result.value] : [result.reason]))
}

async function sendPipeline(redis: Redis, calls: readonly ((target: Commands) => unknown)[]): Promise<Result[]> {
  if (calls.length === 0) return []
  const pipeline = redis.pipeline()
  for (const call of calls) call(pipeline)
  try {
    return (await pipeline.exec()) ?? []
  } catch (error) {
    throw translate(redis, error)
  }
}

function connectOne(target: RedisTarget, settings: RedisSettings): Redis {
  const [first] = target.hosts
  const place: RedisOptions =
    target.kind === 'sentinel' && target.masterName
      ? {
          sentinels: target.hosts.map(({ host, port }) => ({ host, port })),
          name: target.masterName,
          // Sentinels that need no password accept any for their default user.
          ...(target.username && { sentinelUsername: target.username }),
          ...(target.password && { sentinelPassword: target.password }),
          ...(target.tls && { sentinelTLS: {}, enableTLSForSentinelMode: true }),
          sentinelRetryStrategy: backoff,
          sentinelCommandTimeout: settings.commandTimeoutMs,
        }
      : { ...first }
  return new Redis({
    ...place,
    ...commonOptions(target, settings),
    db: target.db,
    enableOfflineQueue: false,
    retryStrategy: backoff,
  })
}

function connectCluster(target: RedisTarget, settings: RedisSettings, report: (error: Error) => void): Cluster {
  const cluster = new Cluster([...target.hosts], {
    redisOptions: commonOptions(target, settings),
    enableOfflineQueue: false,
    clusterRetryStrategy: backoff,
    slotsRefreshInterval: CLUSTER_REFRESH_MS,
    slotsRefreshTimeout: settings.commandTimeoutMs,
    // A command that a failing node may have carried out is not sent again; MOVED, ASK and TRYAGAIN still are.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    maxRedirections: 4,
    // Certificates name hosts, not the addresses that they resolve to.
    ...(target.tls && { dnsLookup: (host: string, done: (error: null, address: string) => void) => done(null, host) }),
  })
  cluster.on('node error', report)
  // Nodes connect lazily, and without an offline queue all but the first command would be refused until then.
  cluster.on('+node', (node: Redis) => {
    setNodeCredentials(cluster, node)
    if (node.status === 'wait') node.connect().catch(() => undefined)
  })
  return cluster
}

function commonOptions({ username, password, tls }: RedisTarget, settings: RedisSettings) {
  return {
    ...(username && { username }),
    ...(password && { password }),
    ...(tls && { tls: {} }),
    // Sentinels, proxies and every Redis that we support speak it, and replies have one shape.
    protocol: 2 as const,
    replyMapping: 'legacy' as const,
    connectionName: settings.connectionName,
    commandTimeout: settings.commandTimeoutMs,
    connectTimeout: settings.commandTimeoutMs,
    // Also what notices a frozen server: a time-out alone leaves the connection open, and commands piling up in it.
    socketTimeout: settings.commandTimeoutMs * 2,
    maxLoadingRetryTime: MAX_BACKOFF_MS,
    autoResendUnfulfilledCommands: false,
    // Commands without an answer fail when the connection closes: ioredis forgets them otherwise.
    maxRetriesPerRequest: 0,
    // A failover left us with a replica: reconnect, to find the new primary.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
}

/** Milliseconds before the next attempt, with jitter: not every gateway at once. */
function backoff(attempt: number): number {
  const ceiling = Math.min(MAX_BACKOFF_MS, 25 * 2 ** Math.min(attempt, 10))
  return Math.round(ceiling * (0.5 + Math.random() / 2))
}

function isReady(client: RedisClient): boolean {
  if (client.status !== 'ready') return false
  return !(client instanceof Cluster) || client.nodes('master').every((node) => node.status === 'ready')
}
