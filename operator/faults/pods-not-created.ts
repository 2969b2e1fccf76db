import type { KubeApi } from '../../controller/api.ts'
import { buildSelector } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import type { StatefulSet } from '../build/objects.ts'
import { readEventsOf, type PastEvent } from '../reads/events.ts'
import { readPod, type Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'

/** Names that are looked at: what holds up the first mostly holds up all. */
const MOST_PODS = 3

/**
 * Pods that Kubernetes does not make: a quota, a webhook, a name that is taken. It says so in Events alone, and of the last not
 * even there.
 *
 * @throws ApiError when the API server cannot be asked
 */
export async function findPodsNotCreated(
  api: KubeApi,
  cluster: ImCluster,
  statefulSet: StatefulSet | undefined,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<Fault[]> {
  const present = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  if (statefulSet?.metadata.uid === undefined || present.length >= cluster.spec.replicas) return []
  const taken = await findTakenNames(api, cluster, pods, signal)
  if (taken.length > 0) return taken
  const { uid } = statefulSet.metadata
  const told = await readEventsOf(api, 'StatefulSet', { namespace: cluster.metadata.namespace, uid }, signal)
  return buildPodsNotCreated(told)
}

/** Pods that have the names of missing ones and are not of the cluster. */
async function findTakenNames(
  api: KubeApi,
  cluster: ImCluster,
  own: readonly Pod[],
  signal: AbortSignal,
): Promise<Fault[]> {
  const { namespace, name } = cluster.metadata
  const names = Array.from({ length: cluster.spec.replicas }, (_, at) => `${name}-${at}`)
  const missing = names.filter((each) => !own.some(({ metadata }) => metadata.name === each)).slice(0, MOST_PODS)
  const faults: Fault[] = []
  for (const each of missing) {
    const pod = await readPod(api, { namespace, name: each }, signal)
    if (pod === undefined || hasLabels(pod, cluster) || pod.metadata.deletionTimestamp !== undefined) continue
    const message = `pod ${each} is there without the labels of this cluster, and no other of that name can be made; put them back, or delete it`
    faults.push({ reason: 'PodsNotCreated', message })
  }
  return faults
}

/** One that was made a moment ago, and that the watch has not shown yet, has them. */
function hasLabels({ metadata: { labels } }: Pod, cluster: ImCluster): boolean {
  return Object.entries(buildSelector(cluster)).every(([label, value]) => labels?.[label] === value)
}

/** The last attempt to create a pod failed, and no later one worked. */
export function buildPodsNotCreated(told: readonly PastEvent[]): Fault[] {
  const newest = (reason: string) => told.filter((event) => event.reason === reason).toSorted((a, b) => b.at - a.at)[0]
  const failed = newest('FailedCreate')
  // Of the same second, as far as the times go: the next attempt tells.
  if (failed === undefined || (newest('SuccessfulCreate')?.at ?? 0) >= failed.at) return []
  const advice = 'remove what is in the way (a quota, an admission webhook, a LimitRange, a pod of that name)'
  return [{ reason: 'PodsNotCreated', message: `${failed.note}; ${advice}` }]
}
