import { randomUUID } from 'node:crypto'
import { explainListenError } from '../server/address.ts'
import { AdminServer } from '../server/admin-server.ts'
import { FIELD_MANAGER, imClusters } from './api/constants.ts'
import type { ImCluster } from './api/imcluster.ts'
import { networkPolicies, podDisruptionBudgets, serviceAccounts, services, statefulSets } from './build/objects.ts'
import { pods, type Pod } from './reads/pod.ts'
import { createElector } from './elector.ts'
import { OperatorError } from './errors.ts'
import type { Logger } from './logger.ts'
import { OperatorMetrics } from './metrics.ts'
import { BY_CLUSTER, BY_NAME, ClusterMemory, type ReconcileContext } from './reconcile/context.ts'
import { LeaseWatch } from './reconcile/lease-watch.ts'
import { reconcileCluster } from './reconcile/reconcile-cluster.ts'
import { RedisPool } from './redis-pool.ts'
import { KubeApi } from '../controller/api.ts'
import { isApiError } from '../controller/errors.ts'
import { EventRecorder } from '../controller/event-recorder.ts'
import { Reflector, stripBulk } from '../controller/reflector.ts'
import { keyOf, type KubeObject, type Resource } from '../controller/resource.ts'
import { Store, type Indexer, type StoreReader } from '../controller/store.ts'
import { loadKubeConfig } from '../controller/http-client.ts'
import { WorkQueue } from '../controller/work-queue.ts'
import type { OperatorSettings } from './settings.ts'

const CONTROLLER = 'imcluster.io/operator'
const SYNC_TIMEOUT_MS = 60_000

/** What the operator makes, and watches so that a change of it by others is undone. */
const owned: readonly Resource[] = [statefulSets, services, podDisruptionBudgets, serviceAccounts, networkPolicies]

/**
 * Runs the operator until `stop` aborts: elects a leader, and as that reconciles every ImCluster.
 *
 * @throws OperatorError LISTEN_FAILED or CRD_MISSING; RuntimeError NOT_SYNCED, LEASE_LOST or CONFIG_INVALID
 */
export async function runOperator(settings: OperatorSettings, logger: Logger, stop: AbortSignal): Promise<void> {
  const metrics = new OperatorMetrics()
  const identity = `${settings.podName}_${randomUUID()}`
  const config = loadKubeConfig(settings.kubeconfig === '' ? undefined : settings.kubeconfig)

  await using stack = new AsyncDisposableStack()
  const away = new Set(['starting'])
  const admin = stack.use(new AdminServer(metrics.registry, () => [...away]))
  const { listenHost, adminPort } = settings
  await admin.listen(listenHost, adminPort).catch((cause: unknown) => {
    const names = { host: 'IM_OPERATOR_LISTEN_HOST', port: 'IM_OPERATOR_ADMIN_PORT' }
    const message = explainListenError(cause, [listenHost, adminPort], names)
    throw new OperatorError('LISTEN_FAILED', message, { cause, retryable: false })
  })
  const api = stack.use(new KubeApi(config))
  await checkCrd(api, settings, stop)
  // An instance of its own: a renewal of the lease must not wait behind other requests.
  const leaseApi = stack.use(new KubeApi(config))
  const elector = createElector(settings, leaseApi, identity, logger)
  away.delete('starting')
  logger.info({ identity, watching: settings.watchNamespace || 'all namespaces' }, 'started')
  await elector.run(stop, async (leading) => {
    metrics.leading.set(1)
    try {
      await lead(settings, api, identity, metrics, logger, leading)
    } finally {
      metrics.leading.set(0)
      metrics.hideClusters()
    }
  })
}

/** What the leader does until it no longer leads. */
async function lead(
  settings: OperatorSettings,
  api: KubeApi,
  identity: string,
  metrics: OperatorMetrics,
  logger: Logger,
  leading: AbortSignal,
): Promise<void> {
  await using redis = new RedisPool()
  using leases = new LeaseWatch((key) => queue.add(key))
  const recorder = new EventRecorder({
    api,
    controller: CONTROLLER,
    instance: identity,
    onDrop: () => metrics.eventsDropped.inc(),
  })
  const namespace = settings.watchNamespace === '' ? undefined : settings.watchNamespace
  const labelSelector = `app.kubernetes.io/managed-by=${FIELD_MANAGER}`
  const mirror = <T extends KubeObject>(
    resource: Resource<T>,
    keysOf: (object: T) => readonly string[],
    { all = false, indexes = {} }: { all?: boolean; indexes?: Record<string, Indexer<T>> } = {},
  ) => {
    const enqueue = (object: T) => {
      for (const key of keysOf(object)) queue.add(key)
    }
    return new Reflector<T>({
      api,
      resource,
      namespace,
      ...(!all && { labelSelector }),
      store: new Store<T>({ [BY_CLUSTER]: keysOf, ...indexes }),
      transform: stripBulk,
      handlers: { added: enqueue, updated: enqueue, deleted: enqueue },
      onError: (err) => {
        metrics.watchErrors.inc({ kind: resource.kind })
        logger.warn({ err, kind: resource.kind }, 'a list or watch failed; trying again')
      },
    })
  }
  const byName = { [BY_NAME]: ({ metadata: { name } }: ImCluster) => [name] }
  const clusters = mirror<ImCluster>(imClusters, (cluster) => [keyOf(cluster)], { all: true, indexes: byName })
  const podMirror = mirror<Pod>(pods, clusterOfPod)
  const mirrors = new Map(owned.map((resource) => [resource.kind, mirror(resource, clusterOfOwned)]))
  const stores = new Map<string, StoreReader<KubeObject>>([...mirrors].map(([kind, { store }]) => [kind, store]))
  const context: ReconcileContext = {
    api,
    clusters: clusters.store,
    pods: podMirror.store,
    readStored: <T extends KubeObject>({ kind }: Resource<T>, key: string) =>
      stores.get(kind)?.get(key) as T | undefined,
    record: (cluster, event) => recorder.record(cluster, event),
    redis,
    leases,
    memory: new ClusterMemory(),
    metrics,
    logger,
  }
  const queue: WorkQueue = new WorkQueue({
    concurrency: settings.concurrency,
    reconcile: (key, signal) => reconcileCluster(context, key, signal),
    hooks: {
      depth: (waiting) => metrics.queueDepth.set(waiting),
      finished: (key, durationMs, error) => {
        metrics.reconcileSeconds.observe(durationMs / 1000)
        metrics.reconciles.inc({ result: error === undefined ? 'ok' : 'failed' })
        if (error === undefined) return
        // Somebody wrote in between: the next pass sees it.
        if (isApiError(error, 'CONFLICT')) logger.debug({ cluster: key, err: error }, 'a write was too late')
        else logger.warn({ cluster: key, err: error }, 'a pass failed; trying again')
      },
      overdue: (key) => logger.error({ cluster: key }, 'a pass does not end'),
    },
  })

  const all = [clusters, podMirror, ...mirrors.values()]
  const stop = new AbortController()
  const signal = AbortSignal.any([leading, stop.signal])
  const running = [...all.map((reflector) => reflector.run(signal)), recorder.run(signal)]
  try {
    await Promise.all(all.map((reflector) => reflector.waitForSync(SYNC_TIMEOUT_MS, signal)))
    logger.info({ clusters: clusters.store.size }, 'leading')
    await queue.run(signal)
  } catch (error) {
    if (!leading.aborted) throw error
  } finally {
    stop.abort()
    await Promise.allSettled(running)
  }
}

/** A pod's cluster, by the label that its template has. */
function clusterOfPod({ metadata: { namespace, labels } }: KubeObject): readonly string[] {
  const name = labels?.['app.kubernetes.io/instance']
  return name === undefined ? [] : [keyOf({ namespace, name })]
}

function clusterOfOwned({ metadata: { namespace, ownerReferences = [] } }: KubeObject): readonly string[] {
  return ownerReferences.filter(({ kind }) => kind === imClusters.kind).map(({ name }) => keyOf({ namespace, name }))
}

async function checkCrd(api: KubeApi, { watchNamespace }: OperatorSettings, signal: AbortSignal): Promise<void> {
  try {
    await api.list(
      imClusters,
      { namespace: watchNamespace === '' ? undefined : watchNamespace, pageSize: 1 },
      { signal },
    )
  } catch (cause) {
    if (!isApiError(cause, 'NOT_FOUND')) throw cause
    const remedy = 'upgrade the release with crds.install=true, or kubectl apply --server-side -f crds/imcluster.yaml'
    const message = `the API server does not know ${imClusters.plural}.imcluster.io; ${remedy}`
    throw new OperatorError('CRD_MISSING', message, { cause, retryable: true })
  }
}
