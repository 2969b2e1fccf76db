import { formatIncarnation, type Incarnation } from '../session/brokers/broker.ts'
import { Directory } from '../session/directory.ts'
import { Inbox } from '../session/inbox/inbox.ts'
import type { InboxFormat } from '../session/inbox/inbox-format.ts'
import { metaTtlOf } from '../session/inbox/meta-ttl.ts'
import type { Keys } from '../session/keys.ts'
import { readLeases } from '../session/brokers/lease.ts'
import type { RedisClient } from '../session/redis/redis.ts'
import { createAuthenticate } from './login/auth.ts'
import type { Bus } from './bus/bus.ts'
import type { BusEvents } from './bus/bus-context.ts'
import type { BusRecord, Place } from './bus/bus-record.ts'
import type { ConnectionTable } from './delivery/connection-table.ts'
import { CursorWriter } from './delivery/cursor-writer.ts'
import { EndedSessions } from './login/ended-sessions.ts'
import { Dispatcher } from './dispatcher.ts'
import { EncodedFrame } from './net/encoded-frame.ts'
import { GhostSessions } from './directory/ghost-sessions.ts'
import type { Logger } from './logger.ts'
import { LoginService } from './login/login-service.ts'
import type { MemoryBudget } from './memory/memory-budget.ts'
import type { Metrics } from './metrics.ts'
import { Presence } from './delivery/presence.ts'
import { RouteCache } from './delivery/route-cache.ts'
import { Router } from './delivery/router.ts'
import type { SecretValues } from './secrets/secrets.ts'
import type { GatewaySettings } from './settings.ts'
import { Verifier } from './directory/verifier.ts'

export interface Links {
  readonly settings: GatewaySettings
  /** Those in use, whenever they are asked for. */
  readonly secrets: () => SecretValues
  readonly incarnation: Incarnation
  readonly redis: RedisClient
  readonly keys: Keys
  readonly format: InboxFormat
  readonly bus: Bus
  readonly table: ConnectionTable
  readonly memory: MemoryBudget
  readonly metrics: Metrics
  readonly logger: Logger
  readonly holdsLease: () => boolean
  readonly redisLoads: () => boolean
}

/** The parts that give meaning to frames and records, wired together. */
export interface Services {
  readonly dispatcher: Dispatcher
  readonly verifier: Verifier
  readonly ghosts: GhostSessions
  readonly busEvents: BusEvents
}

/** Builds the services. What they hold is given back when `stack` is disposed of, sessions before connections to Redis. */
export function createServices(links: Links, stack: AsyncDisposableStack): Services {
  const { settings, incarnation, redis, keys, format, bus, table, memory, metrics, logger, holdsLease, redisLoads } =
    links
  const { brokerId, maxFrameBytes, slowConsumerTimeoutMs } = settings
  const directory = new Directory(
    redis,
    keys,
    { ...settings.devicePolicy, maxDevices: settings.maxDevices },
    {
      offlineRetentionMs: settings.offlineRetentionMs,
      // A login puts off the end of the meta data, too.
      cursorRetentionMs: metaTtlOf({ ...settings, retentionMs: settings.inboxRetentionMs }),
      format,
      onGarbage: (err) => logger.warn({ err }, 'a stored session cannot be read; skipped'),
    },
  )
  const inbox = new Inbox(redis, keys, {
    maxLength: settings.inboxMaxLength,
    retentionMs: settings.inboxRetentionMs,
    cursorRetentionMs: settings.cursorRetentionMs,
    dedupeMs: settings.dedupeMs,
    format,
  })
  const endedSessions = stack.use(new EndedSessions(directory, settings.offlineRetentionMs, logger))
  // Before anything else of this gateway: what a failed login left must not take anybody's place.
  redis.on('ready', () => endedSessions.retry())
  const cursors = stack.use(new CursorWriter(inbox, logger))
  const logins = new LoginService({
    settings,
    incarnation,
    authenticate: createAuthenticate(settings, links.secrets),
    directory,
    table,
    bus,
    cursors,
    endedSessions,
    delivery: { inbox, metrics, logger, slowConsumerTimeoutMs },
    metrics,
    logger,
    holdsLease,
    redisLoads,
  })
  const routes = new RouteCache(settings.routeCacheMs)
  const owner = { brokerId, incarnation: formatIncarnation(incarnation) }
  const ghosts = new GhostSessions(
    { directory, table, endedSessions, owner, restoreIndex: () => verifier.restoreAll(), metrics, logger },
    settings.verifyRoundMs,
  )
  stack.use(ghosts)
  const router = new Router({ brokerId, maxFrameBytes, table, inbox, directory, bus, routes, ghosts, metrics })
  const presence = new Presence(directory, (brokerIds) => readLeases(redis, keys, brokerIds))
  const dispatcher = new Dispatcher(logins, router, presence, cursors, memory)
  const verifier = stack.use(new Verifier({ directory, table, logins, cursors, metrics, logger }, settings))

  const handle = (record: BusRecord, frame: Uint8Array, from: Place): void => {
    switch (record.type) {
      case 'push':
        return router.push(record, record.epoch, record.seq, EncodedFrame.fromBinary(frame))
      case 'head':
        return router.push(record, record.epoch, record.seq)
      case 'transient':
        return router.transient(record, EncodedFrame.fromBinary(frame), from)
      case 'notHere':
        return void router.reroute(record, EncodedFrame.fromBinary(frame))
      case 'notice':
        return logins.notice(record, record.connectionId, EncodedFrame.fromBinary(frame))
      case 'evict':
        return logins.evict(record)
    }
  }
  return { dispatcher, verifier, ghosts, busEvents: { record: handle, compare: () => verifier.verifyAll() } }
}
