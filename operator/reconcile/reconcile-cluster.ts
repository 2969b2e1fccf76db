import { isDeepStrictEqual } from 'node:util'
import { FINALIZER, imClusters } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { keyOf } from '../../controller/resource.ts'
import type { ReconcileResult } from '../../controller/work-queue.ts'
import { isEstablished, type ReconcileContext } from './context.ts'
import { ensureFinalizer, reconcileDeletion, removeFinalizer } from './deletion.ts'
import type { Observation } from '../conditions/observation.ts'
import { reconcileDirectory } from './directory.ts'
import { openDirectory, type DirectoryAccess } from './directory-access.ts'
import { observeCluster } from './observe-cluster.ts'
import { buildStatus } from './status.ts'
import { buildTransitionEvents } from '../events/transition-events.ts'
import { reconcileWorkload } from './workload.ts'

/** How soon to come again: while something goes on; while Redis or NATS is away; when all is well. */
const BUSY_MS = 1_000
const AWAY_MS = 3_000
const IDLE_MS = 10_000

/**
 * Brings one cluster to what its spec says, and its status to what there is. One pass of a level-based loop: it reads
 * everything anew, and repeating it does no harm.
 */
export async function reconcileCluster(
  context: ReconcileContext,
  key: string,
  signal: AbortSignal,
): Promise<ReconcileResult | undefined> {
  const cluster = context.clusters.get(key)
  if (cluster === undefined) {
    context.memory.forget(key)
    context.leases.forget(key)
    context.metrics.hideCluster(key)
    context.redis.release(key)
    return undefined
  }
  // The watch brings the next pass.
  if (context.memory.isOutdated(cluster)) return { requeueAfterMs: AWAY_MS }
  if (cluster.metadata.deletionTimestamp !== undefined) return finishCluster(context, cluster, signal)

  // The pass goes on when the watch shows the cluster with it.
  if (await ensureFinalizer(context, cluster, signal)) return { requeueAfterMs: AWAY_MS }
  const access = await openDirectory(context, cluster, signal)
  const applies = !cluster.spec.paused && mayHaveGateways(context, cluster, access)
  const faults = applies ? await reconcileWorkload(context, cluster, signal) : []
  const directory =
    access.fault === undefined ? await reconcileDirectory(context, cluster, access, signal) : { fault: access.fault }
  const observation = await observeCluster(context, cluster, directory, faults, signal)
  await writeStatus(context, observation, signal)
  if (access.fault === undefined && directory.round !== undefined) {
    context.leases.watch(key, access.redis, access.keys, [...directory.round.leases.keys()])
  }
  return { requeueAfterMs: nextPass(observation) }
}

/** A cluster gets gateways once it has its name in the directory; then it is kept as it should be while Redis is away. */
function mayHaveGateways(context: ReconcileContext, cluster: ImCluster, access: DirectoryAccess): boolean {
  return access.fault === undefined || (!access.refused && isEstablished(context, cluster))
}

async function finishCluster(
  context: ReconcileContext,
  cluster: ImCluster,
  signal: AbortSignal,
): Promise<ReconcileResult | undefined> {
  if (cluster.metadata.finalizers?.includes(FINALIZER) !== true) return undefined
  const { done, directory } = await reconcileDeletion(context, cluster, signal)
  if (done) {
    await removeFinalizer(context, cluster, signal)
    return undefined
  }
  await writeStatus(context, await observeCluster(context, cluster, directory, [], signal), signal)
  return { requeueAfterMs: directory.fault === undefined ? BUSY_MS : AWAY_MS }
}

/** Writes the status if it changed. Cleanups are remembered until they are written. */
async function writeStatus(
  { api, memory, metrics, record }: ReconcileContext,
  observation: Observation,
  signal: AbortSignal,
): Promise<void> {
  const { cluster } = observation
  const unwritten = memory.unwritten(keyOf(cluster))
  const records = [...unwritten]
  const status = buildStatus(observation, records)
  if (!isDeepStrictEqual(status, cluster.status)) {
    const { namespace, name, resourceVersion } = cluster.metadata
    // With the version that it was made from: a pass on old data must not undo what a newer one wrote.
    const patch = { metadata: { resourceVersion }, status }
    const after = await api.patch(imClusters, { namespace, name }, patch, { subresource: 'status', signal })
    if (after.metadata.resourceVersion !== resourceVersion) memory.setOutdated(cluster)
    const events = buildTransitionEvents(cluster.status?.conditions ?? [], status.conditions ?? [])
    for (const event of events) record(cluster, event)
  }
  metrics.showCluster(cluster, status)
  unwritten.splice(0, records.length)
}

function nextPass({ cluster, statefulSet, pods, directory, changing, faults }: Observation): number {
  const { round } = directory
  if (round === undefined) return AWAY_MS
  const settled = pods.length === cluster.spec.replicas && statefulSet?.status?.readyReplicas === cluster.spec.replicas
  const leaving = pods.some(({ metadata }) => metadata.deletionTimestamp !== undefined)
  // Their leases live on for seconds after their pods are gone.
  const podless = round.registered.some(
    ({ brokerId, podUid, cleanedAt }) =>
      cleanedAt === undefined && !pods.some(({ metadata }) => metadata.name === brokerId && metadata.uid === podUid),
  )
  const pace =
    leaving || podless || round.departed.length > 0
      ? BUSY_MS
      : settled && faults.length === 0 && changing === undefined
        ? IDLE_MS
        : AWAY_MS
  return Math.min(pace, Math.max(round.waitMs ?? IDLE_MS, BUSY_MS))
}
