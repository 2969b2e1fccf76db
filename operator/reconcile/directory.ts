import { SessionError } from '../../session/errors.ts'
import { Keys } from '../../session/keys.ts'
import { cleanDeadBrokers, type CleanupRound } from '../cleanup/broker-cleanup.ts'
import { readPodFacts } from '../cleanup/pod.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { isApiError } from '../runtime/errors.ts'
import { keyOf, type KubeObject, type Resource } from '../runtime/resource.ts'
import type { ReconcileContext } from './context.ts'
import { qualifyHosts } from './service-names.ts'
import type { Fault } from './workload.ts'

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
}

const secrets: Resource<Secret> = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true }

/** What the directory says of the cluster's brokers, or why it cannot be asked. */
export type DirectoryState =
  { readonly round: CleanupRound; readonly fault?: never } | { readonly round?: never; readonly fault: Fault }

/**
 * Looks at the cluster's brokers in Redis and cleans up after the dead ones. Redis being away is an answer, not an error.
 *
 * @param graceMs see `CleanupContext`
 * @throws ApiError when pods or the Secret cannot be read
 */
export async function reconcileDirectory(
  context: ReconcileContext,
  cluster: ImCluster,
  signal: AbortSignal,
  graceMs?: number,
): Promise<DirectoryState> {
  const key = keyOf(cluster)
  const { namespace, name: clusterName } = cluster.metadata
  const unwritten = context.memory.unwritten(key)
  const recorded = new Set([...(cluster.status?.cleanups ?? []), ...unwritten].map(({ bootId }) => bootId))
  try {
    const url = await readRedisUrl(context, cluster, signal)
    if (typeof url !== 'string') return { fault: url }
    const redis = await context.redis.use(key, qualifyHosts(url, namespace ?? ''))
    const round = await cleanDeadBrokers({
      redis,
      keys: new Keys(cluster.spec.redis.keyPrefix),
      clusterName,
      readPod: (name) => readPodFacts(context.api, { namespace, name }, signal),
      known: cluster.status?.brokers ?? [],
      recorded,
      signal,
      ...(graceMs !== undefined && { graceMs }),
    })
    for (const record of round.records) {
      unwritten.push(record)
      const { brokerId, proof, sessionsRemoved, orphansLeft } = record
      context.metrics.cleanups.inc()
      context.metrics.sessionsRemoved.inc(sessionsRemoved)
      context.metrics.orphanSessions.inc(orphansLeft)
      context.logger.info({ cluster: key, ...record }, 'a gateway is gone, and its sessions are')
      const note = `${brokerId} is dead (${proof.pod}, ${proof.lease}): removed ${sessionsRemoved} sessions, left ${orphansLeft}; pod ${record.podUid}, boot ${record.bootId}`
      context.record(cluster, { type: 'Normal', reason: 'SessionsCleaned', action: 'CleanUp', note })
    }
    return { round }
  } catch (error) {
    if (!(error instanceof SessionError)) throw error
    const reason = error.code === 'redis_url_invalid' ? 'RedisUrlInvalid' : 'RedisUnavailable'
    return { fault: { reason, message: error.message } }
  }
}

async function readRedisUrl(
  { api }: ReconcileContext,
  { metadata: { namespace }, spec: { redis } }: ImCluster,
  signal: AbortSignal,
): Promise<string | Fault> {
  const { url, urlSecretRef } = redis
  if (urlSecretRef === undefined) return url ?? ''
  const { name, key } = urlSecretRef
  try {
    const secret = await api.get(secrets, { namespace, name }, { signal })
    const value = secret.data?.[key]
    if (value !== undefined) return Buffer.from(value, 'base64').toString('utf8').trim()
    return { reason: 'SecretInvalid', message: `Secret ${name} has no key ${key}; add it, with the URL of Redis` }
  } catch (error) {
    if (!isApiError(error, 'NOT_FOUND')) throw error
    return {
      reason: 'SecretMissing',
      message: `Secret ${name} is not there; create it, with the URL of Redis under ${key}`,
    }
  }
}
