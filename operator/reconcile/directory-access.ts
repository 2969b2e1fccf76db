import { claimCluster, releaseCluster, type ClusterOwner } from '../../session/brokers/cluster-claim.ts'
import { SessionError } from '../../session/errors.ts'
import { Keys } from '../../session/keys.ts'
import { checkWritable, type RedisClient } from '../../session/redis/redis.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { keyOf } from '../../controller/resource.ts'
import { BY_CLUSTER, BY_NAME, isEstablished, type ReconcileContext } from './context.ts'
import type { Fault } from '../faults/fault.ts'
import { buildPrefixConflict, findNatsRival } from '../faults/prefix-conflict.ts'
import { buildRedisFault } from '../faults/redis-faults.ts'
import { buildSecretInvalid } from '../faults/secret-invalid.ts'
import { buildSecretMissing } from '../faults/secret-missing.ts'
import { readSecret } from '../reads/secret.ts'
import { qualifyHosts } from '../api/service-names.ts'

/** A directory in Redis in which the cluster has its name. */
export interface OpenDirectory {
  readonly redis: RedisClient
  readonly keys: Keys
  readonly fault?: never
}

/**
 * The cluster's directory, or why it cannot be used. `refused`: because another ImCluster has the cluster's name there, so
 * that nothing in it may be touched.
 */
export type DirectoryAccess = OpenDirectory | { readonly fault: Fault; readonly refused: boolean }

/**
 * Opens a cluster's directory and claims its broker names there. Redis being away is an answer, not an error.
 *
 * @throws ApiError when the Secret cannot be read
 */
export async function openDirectory(
  context: ReconcileContext,
  cluster: ImCluster,
  signal: AbortSignal,
): Promise<DirectoryAccess> {
  const { namespace, name } = cluster.metadata
  const rival = findNatsRival(cluster, context.clusters.find(BY_NAME, name), (other) => isEstablished(context, other))
  try {
    const url = await readRedisUrl(context, cluster, signal)
    if (typeof url !== 'string') return { fault: url, refused: false }
    const redis = await context.redis.use(keyOf(cluster), qualifyHosts(url, namespace))
    await checkWritable(redis).catch((error: unknown) => {
      // Leases run out then, and gateways would seem to be lost. A full one lets them live, and can be cleaned.
      if (error instanceof SessionError && error.code === 'redis_refuses_writes') throw error
    })
    const keys = new Keys(cluster.spec.redis.keyPrefix)
    if (rival !== undefined) {
      // A claim from before the rival was seen would keep it from its own.
      if (!isEstablished(context, cluster)) await releaseCluster(redis, keys, name, ownerOf(cluster))
      return { fault: buildPrefixConflict(cluster, { nats: rival }), refused: true }
    }
    const own = new Set(context.pods.find(BY_CLUSTER, keyOf(cluster)).map(({ metadata }) => metadata.uid))
    const holder = await claimCluster(redis, keys, name, ownerOf(cluster), {
      exists: ({ namespace: of, uid }) => context.clusters.get({ namespace: of, name })?.metadata.uid === uid,
      isOwnPod: (podUid) => own.has(podUid),
    })
    if (holder !== undefined) return { fault: buildPrefixConflict(cluster, { redis: holder }), refused: true }
    return { redis, keys }
  } catch (error) {
    return { fault: buildRedisFault(error, cluster), refused: false }
  }
}

/**
 * Gives the cluster's name back, for another ImCluster.
 *
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export async function leaveDirectory({ redis, keys }: OpenDirectory, cluster: ImCluster): Promise<void> {
  await releaseCluster(redis, keys, cluster.metadata.name, ownerOf(cluster))
}

function ownerOf({ metadata: { namespace, uid } }: ImCluster): ClusterOwner {
  return { namespace, uid }
}

async function readRedisUrl(
  { api }: ReconcileContext,
  { metadata: { namespace }, spec: { redis } }: ImCluster,
  signal: AbortSignal,
): Promise<string | Fault> {
  const { url, urlSecretRef } = redis
  if (urlSecretRef === undefined) return url ?? ''
  const { name, key } = urlSecretRef
  const secret = await readSecret(api, { namespace, name }, signal)
  if (secret === undefined) return buildSecretMissing(name, key)
  const value = secret.data?.[key]
  if (value !== undefined) return Buffer.from(value, 'base64').toString('utf8').trim()
  return buildSecretInvalid(name, key)
}
