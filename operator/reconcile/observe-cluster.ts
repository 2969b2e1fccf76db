import { keyOf } from '../../controller/resource.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { qualifyHosts } from '../api/service-names.ts'
import { statefulSets } from '../build/objects.ts'
import type { DirectoryState, Observation } from '../conditions/observation.ts'
import { findCertificateMissing } from '../faults/certificate-missing.ts'
import type { Fault } from '../faults/fault.ts'
import { findGatewayTroubles } from '../faults/gateway-troubles.ts'
import { findNatsUnavailable } from '../faults/nats-unavailable.ts'
import { findPodFaults } from '../faults/pod-faults.ts'
import { findPodsNotStarted } from '../faults/pod-not-started.ts'
import { findPodsNotCreated } from '../faults/pods-not-created.ts'
import { findStandstill, markProgress } from '../faults/progress-deadline-exceeded.ts'
import { findSecretChanges } from '../faults/secret-changes.ts'
import { BY_CLUSTER, type ReconcileContext } from './context.ts'

/**
 * Looks at what there is of a cluster, and for all that is wrong with it.
 *
 * @param specFaults what keeps its objects from being applied
 * @throws ApiError when the API server cannot be asked
 */
export async function observeCluster(
  context: ReconcileContext,
  cluster: ImCluster,
  directory: DirectoryState,
  specFaults: readonly Fault[],
  signal: AbortSignal,
): Promise<Observation> {
  const { api, memory } = context
  const key = keyOf(cluster)
  const statefulSet = context.readStored(statefulSets, key)
  const pods = context.pods.find(BY_CLUSTER, key)
  const faults = [...specFaults]
  if (directory.fault !== undefined) faults.push(directory.fault)
  // Gateways that are ready tell it themselves in their leases: who asks only when one is not, or they cannot, asks seldom.
  const ready = statefulSet?.status?.readyReplicas ?? 0
  if ((ready < cluster.spec.replicas || directory.round === undefined) && pods.length > 0) {
    const servers = cluster.spec.nats.servers.map((server) => qualifyHosts(server, cluster.metadata.namespace ?? ''))
    faults.push(...(await findNatsUnavailable(servers, signal)))
    faults.push(...(await findCertificateMissing(api, cluster, pods, signal)))
  }
  faults.push(...findPodFaults(pods))
  const deleted = cluster.metadata.deletionTimestamp !== undefined
  if (ready < cluster.spec.replicas && !deleted && faults.length === 0) {
    faults.push(...(await findPodsNotCreated(api, cluster, statefulSet, pods, signal)))
    faults.push(...(await findPodsNotStarted(api, pods, signal)))
  }
  if (directory.round !== undefined) faults.push(...findGatewayTroubles(pods, directory.round.leases))
  const secrets =
    directory.round === undefined || deleted
      ? { faults: [] }
      : await findSecretChanges(api, memory.secrets(key), cluster, statefulSet, pods, directory.round.leases, signal)
  faults.push(...secrets.faults)
  const now = performance.now()
  const mark = memory.mark(key, markProgress(cluster.metadata.generation, statefulSet, pods, now))
  const [standstill] = deleted ? [] : findStandstill(mark, now, cluster.spec.progressDeadlineSeconds)
  return { cluster, statefulSet, pods, directory, standstill, changing: secrets.changing, faults }
}
