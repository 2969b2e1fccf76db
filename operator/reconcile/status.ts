import { buildSelector, formatSelector } from '../api/constants.ts'
import type { CleanupRecord, ImClusterStatus } from '../api/imcluster.ts'
import { buildConditions } from '../conditions/conditions.ts'
import type { Observation } from '../conditions/observation.ts'
import { buildBrokers } from './broker-statuses.ts'

/** Cleanups that the status shows. */
const MAX_CLEANUPS = 20

/**
 * Builds the status of a cluster. Pure: the same observation and former status give the same status, so that an idle
 * cluster is not written.
 *
 * @param records cleanups that the former status does not show
 */
export function buildStatus(
  observation: Observation,
  records: readonly CleanupRecord[],
  now = new Date(),
): ImClusterStatus {
  const { cluster, statefulSet, pods } = observation
  const former = cluster.status ?? {}
  const brokers = buildBrokers(observation)
  const counts = statefulSet?.status
  return {
    observedGeneration: cluster.metadata.generation,
    conditions: buildConditions(observation, brokers, former.conditions ?? [], now),
    replicas: pods.length,
    readyReplicas: counts?.readyReplicas ?? 0,
    updatedReplicas: counts?.updatedReplicas ?? 0,
    selector: formatSelector(buildSelector(cluster)),
    connections: brokers.reduce((sum, { connections }) => sum + connections, 0),
    brokers,
    cleanups: mergeCleanups(records, former.cleanups ?? []),
  }
}

/**
 * Newest first; one record for each boot. Several passes can make one: of two leaders, or when a later pass removed more,
 * whose record takes the place of the former.
 */
function mergeCleanups(records: readonly CleanupRecord[], former: readonly CleanupRecord[]): readonly CleanupRecord[] {
  let merged = former
  for (const record of records) {
    const known = merged.find(({ bootId }) => bootId === record.bootId)
    if (known !== undefined && known.sessionsRemoved >= record.sessionsRemoved) continue
    merged = [record, ...merged.filter((other) => other !== known)]
  }
  return merged.slice(0, MAX_CLEANUPS)
}
