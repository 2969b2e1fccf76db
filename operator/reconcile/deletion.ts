import { buildSelector, FINALIZER, formatSelector, imClusters } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { statefulSets } from '../build/objects.ts'
import { gracePeriodOf } from '../build/pod-template.ts'
import { pods } from '../reads/pod.ts'
import { isApiError } from '../../controller/errors.ts'
import { isOwnedBy, type ReconcileContext } from './context.ts'
import type { DirectoryState } from '../conditions/observation.ts'
import { buildCleanupAbandoned } from '../events/cleanup-abandoned.ts'
import { reconcileDirectory } from './directory.ts'
import { leaveDirectory, openDirectory } from './directory-access.ts'

/** How much longer than a pod's grace period a deletion waits for Redis, or for a node. */
const DEADLINE_MARGIN_MS = 60_000

/** Whether the sessions of a cluster under deletion are gone, or have been waited for long enough. */
export interface DeletionProgress {
  readonly done: boolean
  readonly directory: DirectoryState
}

/** Adds the finalizer that keeps a deleted cluster until its sessions are gone. Returns whether it was not there. */
export async function ensureFinalizer(
  { api, memory }: ReconcileContext,
  cluster: ImCluster,
  signal: AbortSignal,
): Promise<boolean> {
  const { namespace, name, resourceVersion, finalizers = [] } = cluster.metadata
  if (finalizers.includes(FINALIZER)) return false
  const metadata = { resourceVersion, finalizers: [...finalizers, FINALIZER] }
  await api.patch(imClusters, { namespace, name }, { metadata }, { signal })
  memory.setOutdated(cluster)
  return true
}

/**
 * Takes a deleted cluster down: its gateways drain and end, then their sessions are removed, then the finalizer is. When
 * a deadline passes first, the finalizer goes with a Warning that says what may be left.
 */
export async function reconcileDeletion(
  context: ReconcileContext,
  cluster: ImCluster,
  signal: AbortSignal,
): Promise<DeletionProgress> {
  const { namespace, name } = cluster.metadata
  await deleteStatefulSet(context, cluster, signal)
  const labelSelector = formatSelector(buildSelector(cluster))
  const { items } = await context.api.list(pods, { namespace, labelSelector }, { signal })
  const left = items.filter(({ metadata }) => metadata.ownerReferences?.some((owner) => owner.name === name) === true)
  const access = await openDirectory(context, cluster, signal)
  if (access.fault !== undefined) {
    const directory = { fault: access.fault }
    // What is there is another's.
    if (access.refused && left.length === 0) return { done: true, directory }
    return { done: giveUp(context, cluster, directory, left.length), directory }
  }
  // Only of a pod that still exists can a process be frozen and go on: without any, no grace is needed.
  const directory = await reconcileDirectory(context, cluster, access, signal, left.length === 0 ? 0 : undefined)
  if (left.length > 0 || directory.round?.registered.length !== 0) {
    return { done: giveUp(context, cluster, directory, left.length), directory }
  }
  await leaveDirectory(access, cluster)
  return { done: true, directory }
}

/** Whether the deadline of a deletion has passed; then that is told. */
function giveUp(context: ReconcileContext, cluster: ImCluster, { fault }: DirectoryState, podsLeft: number): boolean {
  if (!isOverdue(cluster)) return false
  const { namespace, name } = cluster.metadata
  const why = fault?.message ?? `${podsLeft} pods are still there`
  context.record(cluster, buildCleanupAbandoned(why))
  context.logger.warn({ cluster: `${namespace}/${name}`, why }, 'a deletion passed its deadline')
  return true
}

/**
 * Lets the cluster go: takes off our finalizer, and no other.
 *
 * @throws ApiError CONFLICT when it was changed meanwhile
 */
export async function removeFinalizer(
  { api }: Pick<ReconcileContext, 'api'>,
  cluster: ImCluster,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name, resourceVersion, finalizers = [] } = cluster.metadata
  const metadata = { resourceVersion, finalizers: finalizers.filter((finalizer) => finalizer !== FINALIZER) }
  await api.patch(imClusters, { namespace, name }, { metadata }, { signal }).catch((error: unknown) => {
    if (!isApiError(error, 'NOT_FOUND')) throw error
  })
}

async function deleteStatefulSet({ api }: ReconcileContext, cluster: ImCluster, signal: AbortSignal): Promise<void> {
  const { namespace, name } = cluster.metadata
  try {
    const statefulSet = await api.get(statefulSets, { namespace, name }, { signal })
    const { metadata } = statefulSet
    if (!isOwnedBy(statefulSet, cluster) || metadata.deletionTimestamp !== undefined || metadata.uid === undefined)
      return
    await api.delete(statefulSets, { namespace, name }, { uid: metadata.uid, propagationPolicy: 'Background', signal })
  } catch (error) {
    if (!isApiError(error, 'NOT_FOUND', 'CONFLICT')) throw error
  }
}

function isOverdue({ metadata, spec }: ImCluster): boolean {
  const since = Date.parse(metadata.deletionTimestamp ?? '')
  return Date.now() - since > gracePeriodOf(spec) * 1000 + DEADLINE_MARGIN_MS
}
