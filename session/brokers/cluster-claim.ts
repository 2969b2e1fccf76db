import { z } from 'zod'
import type { Lease } from './broker.ts'
import { readIncarnations } from './cleanup.ts'
import type { Keys } from '../keys.ts'
import { readLeases } from './lease.ts'
import { guard, type RedisClient } from '../redis/redis.ts'
import { defaults } from '../defaults.ts'
import { swapField } from '../swap-field.ts'

/** Whose brokers the ones named `<cluster>-<ordinal>` are: an ImCluster, wherever it lives. */
export interface ClusterOwner {
  readonly namespace: string
  readonly uid: string
}

/** Somebody else has the name: as the directory says, or because brokers of that name live that are not ours. */
export interface ClusterRival {
  /** Undefined when only its brokers are known. */
  readonly owner: ClusterOwner | undefined
  readonly brokers: readonly Lease[]
}

export interface ClaimOptions {
  /** Whether another owner is known to exist. Then its claim stands, also while it has no broker. */
  readonly exists: (owner: ClusterOwner) => boolean
  /** Whether a pod is one of ours. */
  readonly isOwnPod: (podUid: string) => boolean
}

const ownerSchema = z.object({ namespace: z.string(), uid: z.string() })

/** Attempts against others who write the same claim at the same time. */
const MAX_ATTEMPTS = 5

/**
 * Claims the broker names `<cluster>-<ordinal>` of a directory for one owner, so that nobody takes another's brokers for
 * its own and cleans up after them. A claim lasts until it is released, or until nobody of the
 * directory has claimed anything for 90 days; one whose owner is not known to exist falls to the
 * next who asks, once no broker of it lives. Repeating it is cheap: two round trips.
 *
 * @returns undefined when the name is ours
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export async function claimCluster(
  redis: RedisClient,
  keys: Keys,
  cluster: string,
  owner: ClusterOwner,
  options: ClaimOptions,
): Promise<ClusterRival | undefined> {
  const own = formatOwner(owner)
  let found = (await guard(redis.hget(keys.clusters(), cluster))) ?? ''
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const holder = parseOwner(found)
    if (holder?.uid === owner.uid) {
      // A claim lasts for as long as somebody looks after it.
      await guard(redis.pexpire(keys.clusters(), defaults.directoryRetentionMs))
      return undefined
    }
    const brokers = (await readClusterLeases(redis, keys, cluster)).filter(({ podUid }) => !options.isOwnPod(podUid))
    if (brokers.length > 0 || (holder !== undefined && options.exists(holder))) return { owner: holder, brokers }
    const [, before, swapped] = await swapField(redis, keys.clusters(), cluster, found, own)
    if (swapped === 1) return undefined
    found = before
  }
  return { owner: parseOwner(found), brokers: [] }
}

/**
 * Gives a name back, if it is still ours.
 *
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export async function releaseCluster(
  redis: RedisClient,
  keys: Keys,
  cluster: string,
  owner: ClusterOwner,
): Promise<void> {
  await swapField(redis, keys.clusters(), cluster, formatOwner(owner), '')
}

/** Whether a broker is one of a cluster, and not of one whose name only begins alike. */
export function isBrokerOf(cluster: string, brokerId: string): boolean {
  return brokerId.startsWith(`${cluster}-`) && /^(0|[1-9]\d*)$/.test(brokerId.slice(cluster.length + 1))
}

async function readClusterLeases(redis: RedisClient, keys: Keys, cluster: string): Promise<Lease[]> {
  const registered = await readIncarnations(redis, keys)
  const brokerIds = new Set(registered.map(({ brokerId }) => brokerId).filter((id) => isBrokerOf(cluster, id)))
  return [...(await readLeases(redis, keys, [...brokerIds])).values()]
}

function formatOwner({ namespace, uid }: ClusterOwner): string {
  return JSON.stringify({ namespace, uid })
}

function parseOwner(json: string): ClusterOwner | undefined {
  if (json === '') return undefined
  try {
    return ownerSchema.safeParse(JSON.parse(json)).data
  } catch {
    return undefined
  }
}
