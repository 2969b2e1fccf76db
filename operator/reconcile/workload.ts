import { FIELD_MANAGER } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { buildClientService } from '../build/client-service.ts'
import { buildHeadlessService } from '../build/headless-service.ts'
import { networkPolicies, podDisruptionBudgets, serviceAccounts, services, statefulSets } from '../build/objects.ts'
import { buildNetworkPolicy } from '../build/network-policy.ts'
import { buildPodDisruptionBudget } from '../build/pod-disruption-budget.ts'
import { buildServiceAccount } from '../build/service-account.ts'
import { buildStatefulSet } from '../build/stateful-set.ts'
import { isApiError } from '../../controller/errors.ts'
import { keyOf, type KubeObject, type Resource } from '../../controller/resource.ts'
import { isOwnedBy, type ReconcileContext } from './context.ts'
import { isApplied, versionOf, withDigest } from './drift.ts'
import { buildApplyFailed } from '../faults/apply-failed.ts'
import type { Fault } from '../faults/fault.ts'
import { buildNameConflict } from '../faults/name-conflict.ts'
import { chooseForm } from './template-form.ts'

/**
 * Makes the cluster's objects what the spec says. Objects that are as they were left are not written again.
 *
 * @returns what keeps an object from being applied, if anything does
 * @throws ApiError when the API server cannot be reached or is overloaded
 */
export async function reconcileWorkload(
  context: ReconcileContext,
  cluster: ImCluster,
  signal: AbortSignal,
): Promise<Fault[]> {
  const faults: (Fault | undefined)[] = []
  const apply = async <T extends KubeObject>(resource: Resource<T>, wanted: T): Promise<void> => {
    faults.push(await applyObject(context, cluster, resource, wanted, signal))
  }
  await apply(serviceAccounts, buildServiceAccount(cluster))
  await apply(services, buildHeadlessService(cluster))
  await apply(services, buildClientService(cluster))
  const budget = buildPodDisruptionBudget(cluster)
  if (budget !== undefined) await apply(podDisruptionBudgets, budget)
  else await deleteObject(context, cluster, podDisruptionBudgets, signal)
  const policy = buildNetworkPolicy(cluster)
  if (policy !== undefined) await apply(networkPolicies, policy)
  else await deleteObject(context, cluster, networkPolicies, signal)
  await apply(statefulSets, buildStatefulSet(cluster, await chooseForm(context, cluster, signal)))
  return faults.filter((fault) => fault !== undefined)
}

async function applyObject<T extends KubeObject>(
  context: ReconcileContext,
  cluster: ImCluster,
  resource: Resource<T>,
  built: T,
  signal: AbortSignal,
): Promise<Fault | undefined> {
  const applied = context.memory.applied(keyOf(cluster))
  const wanted = withDigest(built)
  const name = `${resource.kind} ${wanted.metadata.name}`
  const live = context.readStored(resource, keyOf(wanted))
  if (isApplied(live, wanted, applied.get(name))) return undefined
  try {
    if (!isOwnedBy(live, cluster) && !(await isFree(context, cluster, resource, wanted, signal))) {
      return buildNameConflict(name)
    }
    const after = await context.api.apply(resource, wanted, { fieldManager: FIELD_MANAGER, signal })
    applied.set(name, { wanted: JSON.stringify(wanted), version: versionOf(after) })
    return undefined
  } catch (error) {
    if (!isApiError(error, 'INVALID', 'BAD_REQUEST', 'FORBIDDEN', 'NOT_FOUND')) throw error
    return buildApplyFailed(name, error)
  }
}

/** Whether a name is not taken by somebody else: a server-side apply by force would take over whatever has it. */
async function isFree<T extends KubeObject>(
  { api }: ReconcileContext,
  cluster: ImCluster,
  resource: Resource<T>,
  { metadata }: T,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return isOwnedBy(await api.get(resource, metadata, { signal }), cluster)
  } catch (error) {
    if (isApiError(error, 'NOT_FOUND')) return true
    throw error
  }
}

async function deleteObject<T extends KubeObject>(
  { api, readStored, memory }: ReconcileContext,
  cluster: ImCluster,
  resource: Resource<T>,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name } = cluster.metadata
  const live = readStored(resource, keyOf({ namespace, name }))
  const uid = live?.metadata.uid
  if (uid === undefined || !isOwnedBy(live, cluster)) return
  memory.applied(keyOf(cluster)).delete(`${resource.kind} ${name}`)
  await api.delete(resource, { namespace, name }, { uid, signal }).catch((error: unknown) => {
    if (!isApiError(error, 'NOT_FOUND', 'CONFLICT')) throw error
  })
}
