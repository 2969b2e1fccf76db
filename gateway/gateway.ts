import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { BrokerState, Incarnation, Lease } from '../session/broker.ts'
import { Directory } from '../session/directory.ts'
import { Inbox } from '../session/inbox.ts'
import { Keys } from '../session/keys.ts'
import { BrokerLease, readLeases } from '../session/lease.ts'
import { closeRedis } from '../session/redis.ts'
import { AdminServer } from './admin-server.ts'
import { createAuthenticate } from './auth.ts'
import { Bus } from './bus.ts'
import { ConnectionTable } from './connection-table.ts'
import { CursorWriter } from './cursor-writer.ts'
import { Departures } from './departures.ts'
import { Dispatcher } from './dispatcher.ts'
import { drainConnections } from './drain.ts'
import { EncodedFrame } from './encoded-frame.ts'
import { GatewayError } from './errors.ts'
import { cleanFormerIncarnations, leaveDirectory } from './incarnation-cleanup.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import type { Logger } from './logger.ts'
import { createListeners } from './listeners.ts'
import { LoginService } from './login-service.ts'
import { Metrics } from './metrics.ts'
import { openRedis, startRedis } from './redis-link.ts'
import { Presence } from './presence.ts'
import { RouteCache } from './route-cache.ts'
import { Router } from './router.ts'
import type { GatewaySettings } from './settings.ts'
import { TlsCredentials } from './tls-credentials.ts'
import { Verifier } from './verifier.ts'

/** How long Redis and NATS may be away at the start, each. */
const START_TIMEOUT_MS = 60_000
/**
 * Runs one gateway until `stop` aborts, then drains it. Returns when nothing is left of it in Redis, as far as Redis can
 * be reached.
 *
 * @throws GatewayError or SessionError that says why it cannot start, or BROKER_REPLACED
 */
export async function runGateway(settings: GatewaySettings, logger: Logger, stop: AbortSignal): Promise<void> {
  const incarnation: Incarnation = {
    brokerId: settings.brokerId,
    podUid: settings.podUid,
    bootId: randomUUID(),
    host: settings.brokerHost,
    startedAt: Date.now(),
  }
  const metrics = new Metrics()
  const keys = new Keys(settings.keyPrefix)
  const missing = new Set(['starting'])
  let checks = () => ['Redis', 'NATS']

  await using stack = new AsyncDisposableStack()
  const { tlsCertFile, tlsKeyFile } = settings
  const tls = tlsCertFile === '' ? undefined : await TlsCredentials.load(tlsCertFile, tlsKeyFile, logger, metrics)
  if (tls !== undefined) stack.use(tls)
  const admin = stack.use(new AdminServer(metrics, () => [...missing, ...checks()]))
  const adminPort = await admin.listen(settings.listenHost, settings.adminPort)

  const redis = openRedis(settings, logger, metrics)
  stack.defer(() => closeRedis(redis))
  await startRedis(redis, START_TIMEOUT_MS, stop)
  const bus = stack.use(await Bus.connect(settings, metrics, logger, START_TIMEOUT_MS, stop))

  const lease = new BrokerLease(redis, keys, incarnation, { leaseMs: settings.leaseMs })
  await lease.acquire(stop)
  stack.defer(() => leaveDirectory(redis, keys, lease, incarnation, logger))

  const replaced = new AbortController()
  const table = new ConnectionTable()
  const load = (): { state: BrokerState; connections: number } => ({
    state: missing.has('draining') ? 'draining' : missing.has('starting') ? 'starting' : 'ready',
    connections: table.size,
  })
  const keeper = stack.use(
    new LeaseKeeper(
      lease,
      settings.leaseMs,
      load,
      {
        recreated: () => {
          logger.warn('the lease had run out and was taken again; verifying every session')
          verifier.verifyAll()
        },
        replaced: (by: Lease) => replaced.abort(by),
      },
      logger,
    ),
  )
  const cleaning = new AbortController()
  const cleaned = cleanFormerIncarnations(redis, keys, incarnation, { metrics, logger, signal: cleaning.signal })
  stack.defer(async () => {
    cleaning.abort()
    await cleaned
  })

  const directory = new Directory(redis, keys, settings.devicePolicy)
  const inbox = new Inbox(redis, keys, {
    maxLength: settings.inboxMaxLength,
    retentionMs: settings.inboxRetentionMs,
    cursorRetentionMs: settings.cursorRetentionMs,
    dedupeMs: settings.dedupeMs,
  })
  const departures = stack.use(new Departures(directory, settings.offlineRetentionMs, logger))
  stack.defer(() => departures.removeAll())
  const cursors = stack.use(new CursorWriter(inbox, logger))
  const { slowConsumerTimeoutMs, maxFrameBytes, brokerId } = settings
  const logins = new LoginService({
    settings,
    incarnation,
    authenticate: createAuthenticate(settings),
    directory,
    table,
    bus,
    cursors,
    departures,
    delivery: { inbox, metrics, logger, slowConsumerTimeoutMs },
    metrics,
    logger,
    holdsLease: () => keeper.holds,
  })
  const routes = new RouteCache(settings.routeCacheMs)
  const router = new Router({ brokerId, maxFrameBytes, table, inbox, directory, bus, routes, metrics })
  const presence = new Presence(directory, (brokerIds) => readLeases(redis, keys, brokerIds))
  const dispatcher = new Dispatcher(logins, router, presence, cursors)
  const verifier = stack.use(new Verifier({ directory, table, logins, metrics, logger }, settings.verifyRoundMs))
  redis.on('ready', () => {
    void keeper.renew()
    verifier.verifyAll()
  })
  bus.start({
    record: (record, frame) => {
      switch (record.type) {
        case 'push':
          return router.push(record, record.epoch, record.seq, EncodedFrame.fromBinary(frame))
        case 'transient':
          return router.transient(record, EncodedFrame.fromBinary(frame))
        case 'notHere':
          return void router.reroute(record, EncodedFrame.fromBinary(frame))
        case 'notice':
          return logins.notice(record, record.connectionId, EncodedFrame.fromBinary(frame))
        case 'evict':
          return logins.evict(record.connectionId, record.code, record.clientType)
        case 'sync':
          return verifier.verifyAll()
      }
    },
    reconnected: () => verifier.verifyAll(),
  })

  const listeners = createListeners(settings, tls, metrics, logger, dispatcher)
  stack.defer(() => listeners.close())
  const ports = await listeners.listen()
  checks = () => [
    ...(redis.status === 'ready' && keeper.holds ? [] : ['Redis does not answer']),
    ...(bus.working ? [] : ['NATS does not answer']),
  ]
  missing.delete('starting')
  await keeper.renew()
  logger.info({ ...ports, adminPort, bootId: incarnation.bootId, podUid: incarnation.podUid }, 'ready for connections')

  await once(AbortSignal.any([stop, replaced.signal]), 'abort')
  missing.add('draining')
  listeners.close()
  if (replaced.signal.aborted) {
    for (const [connection] of [...dispatcher.connections()]) connection.close('broker_replaced')
  } else {
    await keeper.renew()
    await drainConnections(dispatcher, settings, logger, replaced.signal)
  }
  await dispatcher.left()
  await stack.disposeAsync()
  if (replaced.signal.aborted) {
    const { podUid, bootId, host } = replaced.signal.reason as Lease
    const message = `another process is ${brokerId} now: pod ${podUid}, boot ${bootId}, on ${host}`
    throw new GatewayError('BROKER_REPLACED', message, { retryable: true })
  }
  logger.info('drained')
}
