import { once } from 'node:events'
import type { BrokerState, Incarnation, Lease } from '../session/brokers/broker.ts'
import { AdminServer } from '../server/admin-server.ts'
import { Keys } from '../session/keys.ts'
import { Canaries } from '../session/redis/canaries.ts'
import { BrokerLease } from '../session/brokers/lease.ts'
import { closeRedis, isLoading } from '../session/redis/redis.ts'
import { createBootId } from './bus/boot-id.ts'
import { Bus } from './bus/bus.ts'
import { ConnectionTable } from './delivery/connection-table.ts'
import { drainConnections } from './drain.ts'
import { GatewayError } from './errors.ts'
import { cleanFormerIncarnations, leaveDirectory } from './directory/incarnation-cleanup.ts'
import { openListSwitch } from './directory/inbox-switch.ts'
import { LeaseKeeper, RENEWALS } from './directory/lease-keeper.ts'
import { LinkWatch } from './outage/link-watch.ts'
import { createLinks } from './outage/links.ts'
import { listenError } from './net/listener.ts'
import { createListeners } from './listeners.ts'
import type { Logger } from './logger.ts'
import { openMemoryBudget } from './memory/memory-watch.ts'
import { Metrics } from './metrics.ts'
import { findServers, Peers } from './outage/peers.ts'
import { openRedis, startRedis } from './directory/redis-link.ts'
import { LossSigns, type LossSign } from './directory/loss-signs.ts'
import { RedisHealth } from './directory/redis-health.ts'
import { RedisWatch } from './directory/redis-watch.ts'
import { createSecretUsers } from './secret-users.ts'
import { SecretWatch } from './secrets/secret-watch.ts'
import { Secrets } from './secrets/secrets.ts'
import { sendAway } from './send-away.ts'
import { createServices } from './services.ts'
import type { GatewaySettings } from './settings.ts'
import { TlsCredentials } from './net/tls-credentials.ts'
import { Troubles } from './troubles.ts'

/** How long Redis and NATS may be away at the start, each. */
const START_TIMEOUT_MS = 60_000

const signsOfLoss: Readonly<Record<LossSign | 'lease', string>> = {
  primary: 'Redis has another primary, or was restarted: looking for what it may have lost',
  canary: 'Redis has lost keys of this gateway: looking for what else it may have lost',
  lease: 'the lease was gone and has been taken again: looking for what else Redis may have lost',
}

/**
 * Runs one gateway until `stop` aborts, then drains it. Returns when nothing is left of it in Redis, as far as Redis can
 * be reached.
 *
 * @throws GatewayError or SessionError that says why it cannot start, or BROKER_REPLACED; the reason of `stop` when that
 * aborts before the start has ended
 */
export async function runGateway(settings: GatewaySettings, logger: Logger, stop: AbortSignal): Promise<void> {
  const incarnation: Incarnation = {
    brokerId: settings.brokerId,
    podUid: settings.podUid,
    bootId: createBootId(),
    lists: settings.inboxFormat === 'list' ? 'write' : 'read',
    host: settings.brokerHost,
    startedAt: Date.now(),
  }
  const metrics = new Metrics()
  metrics.maxConnections.set(settings.maxConnections)
  const troubles = new Troubles(metrics, logger)
  const secrets = new Secrets(settings)
  const secretsInUse = () => secrets.inUse
  const keys = new Keys(settings.keyPrefix)
  const table = new ConnectionTable()
  const memory = openMemoryBudget(settings.memoryBudgetBytes, metrics, logger, () => dispatcher.stopReading())
  let state: BrokerState = 'starting'
  let waitingFor = 'Redis'
  let clientsCutOff = 0
  if (settings.authMode === 'none') logger.warn('IM_AUTH_MODE is none: every client is believed; for development only')

  // Whatever is opened is closed again in the opposite order, also when the start fails half-way.
  await using stack = new AsyncDisposableStack()
  const { tlsCertFile, tlsKeyFile, offlineRetentionMs } = settings
  const tls = tlsCertFile === '' ? undefined : await TlsCredentials.load(tlsCertFile, tlsKeyFile, logger, metrics)
  stack.use(tls)
  const admin = stack.use(
    new AdminServer(
      metrics.registry,
      () => {
        if (state === 'ready') return linkWatch.missing
        return [state === 'starting' ? `starting: waiting for ${waitingFor}` : state]
      },
      () => troubles.list.map(({ message }) => message),
      { '/links': () => (state === 'ready' || state === 'draining' ? linkWatch.report : { state }) },
    ),
  )
  const { listenHost, adminPort: wantedPort } = settings
  const adminPort = await admin.listen(listenHost, wantedPort).catch((error: unknown) => {
    throw listenError(error, listenHost, wantedPort, 'IM_ADMIN_PORT')
  })

  const redis = openRedis(settings, logger, metrics, troubles)
  stack.defer(() => closeRedis(redis))
  await startRedis(redis, START_TIMEOUT_MS, stop)
  waitingFor = 'NATS'
  const busContext = { settings, bootId: incarnation.bootId, secrets: secretsInUse, memory, metrics, troubles, logger }
  const bus = stack.use(await Bus.connect(busContext, START_TIMEOUT_MS, stop))

  waitingFor = `the lease of ${settings.brokerId}`
  const lease = new BrokerLease(redis, keys, incarnation, { leaseMs: settings.leaseMs })
  await lease.acquire(stop)
  stack.defer(() => leaveDirectory(redis, keys, lease, incarnation, clientsCutOff, { offlineRetentionMs, logger }))
  // No wait follows until what a renewal needs is there.
  const format = stack.use(await openListSwitch(redis, keys, incarnation, settings, troubles, logger))
  const replaced = new AbortController()
  const keeper = stack.use(
    new LeaseKeeper(
      lease,
      settings.leaseMs,
      () => ({
        state,
        connections: table.size,
        troubles: troubles.list,
        redisPersistent: health.persistent,
        secrets: secrets.digests,
        adminPort,
      }),
      {
        recreated: () => restore('lease'),
        replaced: (by) => replaced.abort(by),
      },
      logger,
    ),
  )
  const linkStates = createLinks(redis, keeper, bus, troubles)
  const links = {
    settings,
    secrets: secretsInUse,
    incarnation,
    redis,
    keys,
    format,
    bus,
    table,
    memory,
    metrics,
    logger,
    holdsLease: () => linkStates.redis.works,
    redisLoads: () => isLoading(redis),
  }
  const { dispatcher, verifier, ghosts, busEvents } = createServices(links, stack)
  const former = stack.use(cleanFormerIncarnations(redis, keys, incarnation, { offlineRetentionMs, metrics, logger }))
  const restore = (sign: LossSign | 'lease') => {
    if (sign === 'primary') metrics.primaryChanges.inc()
    logger.warn({ sign }, signsOfLoss[sign])
    void keeper.restore()
    verifier.restoreAll()
    ghosts.sweep()
    former.again()
    format.restore()
  }
  const connected = () => {
    void keeper.renew()
    verifier.restoreAll()
  }
  const canaries = new Canaries(redis, (number) => keys.canary(settings.brokerId, incarnation.bootId, number))
  stack.defer(() => canaries.remove())
  const signs = new LossSigns(redis, canaries, logger)
  const health = new RedisHealth(redis, troubles, metrics, logger)
  const beatMs = settings.leaseMs / RENEWALS
  stack.use(new RedisWatch(redis, beatMs, { signs, health }, { connected, lost: restore }, logger))
  await bus.start(busEvents)
  const users = createSecretUsers(settings, secrets, redis)
  stack.use(new SecretWatch(settings.secretsDirectory, secrets, users, troubles, logger))

  const listeners = createListeners(settings, tls, metrics, logger, dispatcher, memory)
  stack.defer(() => listeners.close())
  const end = AbortSignal.any([stop, replaced.signal])
  const linkWatch = stack.use(
    new LinkWatch({
      links: linkStates,
      peers: new Peers(redis, keys, incarnation),
      incarnation,
      servers: () => findServers({ ...settings, ...secrets.inUse }),
      troubles,
      logger,
      sendAway: (until) => sendAway(dispatcher, listeners, settings, logger, { until, end }),
    }),
  )

  const ports = await listeners.listen()
  state = 'ready'
  await keeper.renew()
  linkWatch.look()
  const { bootId, podUid } = incarnation
  logger.info({ ...ports, adminPort, bootId, podUid }, 'ready for connections')

  if (!end.aborted) await once(end, 'abort')
  state = 'draining'
  listeners.close()
  void linkWatch[Symbol.asyncDispose]()
  if (!replaced.signal.aborted) {
    void keeper.renew()
    const left = await drainConnections(dispatcher, settings, logger, replaced.signal)
    if (!replaced.signal.aborted) clientsCutOff = left
  }
  dispatcher.closeAll(replaced.signal.aborted ? 'broker_replaced' : 'going_away')
  await dispatcher.left()
  if (replaced.signal.aborted) throw replacedError(settings.brokerId, replaced.signal.reason as Lease)
  logger.info('drained')
}

function replacedError(brokerId: string, { podUid, bootId, host }: Lease): GatewayError {
  const message = `another process is ${brokerId} now: pod ${podUid}, boot ${bootId}, on ${host}`
  return new GatewayError('BROKER_REPLACED', message, { retryable: true })
}
