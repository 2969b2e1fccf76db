import { defaults } from '../../session/defaults.ts'
import { cleanDeadBrokers } from '../cleanup/broker-cleanup.ts'
import { readPodFacts } from '../reads/pod.ts'
import type { CleanupRecord, ImCluster } from '../api/imcluster.ts'
import { keyOf } from '../../controller/resource.ts'
import type { ReconcileContext } from './context.ts'
import type { OpenDirectory } from './directory-access.ts'
import type { DirectoryState } from '../conditions/observation.ts'
import { buildDrainCutClients } from '../events/drain-cut-clients.ts'
import { buildSessionsCleaned } from '../events/sessions-cleaned.ts'
import { buildRedisFault } from '../faults/redis-faults.ts'

/**
 * Looks at the cluster's brokers in Redis and cleans up after the dead ones. Redis being away is an answer, not an error.
 *
 * @param graceMs see `CleanupContext`
 * @throws ApiError when pods cannot be read
 */
export async function reconcileDirectory(
  context: ReconcileContext,
  cluster: ImCluster,
  { redis, keys }: OpenDirectory,
  signal: AbortSignal,
  graceMs?: number,
): Promise<DirectoryState> {
  const key = keyOf(cluster)
  const { namespace, name: clusterName } = cluster.metadata
  const unwritten = context.memory.unwritten(key)
  const recorded = context.memory.recorded(key)
  const offlineSeconds = cluster.spec.directory?.offlineRetentionSeconds
  for (const { bootId, sessionsRemoved } of cluster.status?.cleanups ?? []) {
    recorded.set(bootId, Math.max(sessionsRemoved, recorded.get(bootId) ?? 0))
  }
  try {
    const round = await cleanDeadBrokers({
      redis,
      keys,
      clusterName,
      readPod: (name) => readPodFacts(context.api, { namespace, name }, signal),
      known: cluster.status?.brokers ?? [],
      recorded,
      offlineRetentionMs: offlineSeconds === undefined ? defaults.offlineRetentionMs : offlineSeconds * 1000,
      signal,
      ...(graceMs !== undefined && { graceMs }),
    })
    for (const record of round.records) {
      unwritten.push(record)
      const { sessionsRemoved, orphansLeft } = record
      const before = recorded.get(record.bootId)
      if (before === undefined) context.metrics.cleanups.inc()
      context.metrics.sessionsRemoved.inc(sessionsRemoved - (before ?? 0))
      recorded.set(record.bootId, sessionsRemoved)
      if (before === undefined) reportCutOff(context, cluster, record)
      context.metrics.orphanSessions.inc(orphansLeft)
      context.logger.info({ cluster: key, ...record }, 'a gateway is gone, and its sessions are')
      context.record(cluster, buildSessionsCleaned(record))
    }
    const current = new Set([...round.registered, ...(cluster.status?.brokers ?? [])].map(({ bootId }) => bootId))
    for (const bootId of recorded.keys()) if (!current.has(bootId)) recorded.delete(bootId)
    return { round }
  } catch (error) {
    return { fault: buildRedisFault(error, cluster) }
  }
}

/** Tells of clients that a drain did not move. */
function reportCutOff({ metrics, record }: ReconcileContext, cluster: ImCluster, cleanup: CleanupRecord): void {
  const event = buildDrainCutClients(cluster, cleanup)
  if (event === undefined) return
  metrics.countCutOff(keyOf(cluster), cleanup.clientsCutOff ?? 0)
  record(cluster, event)
}
