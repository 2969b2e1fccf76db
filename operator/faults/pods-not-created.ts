import { buildSelector } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import type { StatefulSet } from '../build/objects.ts'
import { gatewayStatus, readPod, type Pod } from '../reads/pod.ts'
import type { KubeApi } from '../../controller/api.ts'
import { isApiError } from '../../controller/errors.ts'
import { events, type KubeEvent } from '../../controller/event-recorder.ts'
import type { Fault } from './fault.ts'

/** Events of one cluster's pods and StatefulSet are few: the API server keeps them for an hour, repeats counted. */
const MOST_EVENTS = 500

/** Pods that are looked at: what holds up the first mostly holds up all. */
const MOST_PODS = 3

/** What an Event is about, as far as it matters here. Those of Kubernetes' own controllers have the times of before events.k8s.io. */
export interface Told {
  readonly reason: string
  readonly note: string
  readonly at: number
}

/**
 * What Kubernetes says of pods that it does not make, or does not start: a quota, a webhook, a name that is taken, a volume.
 * It says so in Events alone.
 *
 * @throws ApiError when the API server cannot be asked; without the right to list Events nothing of them is known
 */
export async function findObstacles(
  api: KubeApi,
  cluster: ImCluster,
  statefulSet: StatefulSet | undefined,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<Fault[]> {
  const { namespace } = cluster.metadata
  const read = async (kind: string, uid: string) => {
    const selection = { namespace, fieldSelector: `regarding.kind=${kind},regarding.uid=${uid}`, pageSize: MOST_EVENTS }
    try {
      return (await api.list(events, selection, { signal })).items.map(readEvent)
    } catch (error) {
      // Rights made by hand, for a former release: all else goes on without the words.
      if (isApiError(error, 'FORBIDDEN')) return []
      throw error
    }
  }
  const faults: Fault[] = []
  const present = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  if (statefulSet?.metadata.uid !== undefined && present.length < cluster.spec.replicas) {
    faults.push(...(await findTakenNames(api, cluster, pods, signal)))
    if (faults.length === 0) faults.push(...findCreationFault(await read('StatefulSet', statefulSet.metadata.uid)))
  }
  for (const pod of present.filter(isHeldUp).slice(0, MOST_PODS)) {
    faults.push(...findStartFault(pod.metadata.name, await read('Pod', pod.metadata.uid ?? '')))
  }
  return faults
}

/** Pods that have the names of missing ones and are not of the cluster. The StatefulSet controller tells nobody of these. */
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
export function findCreationFault(told: readonly Told[]): Fault[] {
  const newest = (reason: string) => told.filter((event) => event.reason === reason).toSorted((a, b) => b.at - a.at)[0]
  const failed = newest('FailedCreate')
  // Of the same second, as far as the times go: the next attempt tells.
  if (failed === undefined || (newest('SuccessfulCreate')?.at ?? 0) >= failed.at) return []
  const advice = 'remove what is in the way (a quota, an admission webhook, a LimitRange, a pod of that name)'
  return [{ reason: 'PodsNotCreated', message: `${failed.note}; ${advice}` }]
}

/** The newest warning about a pod that does not start. */
export function findStartFault(pod: string, told: readonly Told[]): Fault[] {
  const [warning] = told.filter(({ reason }) => reason.startsWith('Failed')).toSorted((a, b) => b.at - a.at)
  return warning === undefined ? [] : [{ reason: 'PodNotStarted', message: `pod ${pod}: ${warning.note}` }]
}

/** Scheduled, and its container not begun: what holds it up is not in its status. */
function isHeldUp(pod: Pod): boolean {
  return gatewayStatus(pod)?.state?.waiting?.reason === 'ContainerCreating'
}

function readEvent({ reason, note, eventTime, series, ...rest }: KubeEvent): Told {
  const { deprecatedLastTimestamp } = rest as { deprecatedLastTimestamp?: string }
  const times = [eventTime, series?.lastObservedTime, deprecatedLastTimestamp].map(
    (time) => Date.parse(time ?? '') || 0,
  )
  return { reason, note, at: Math.max(...times) }
}
