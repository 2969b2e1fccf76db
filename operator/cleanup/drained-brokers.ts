import type { RegisteredIncarnation } from '../../session/brokers/broker.ts'
import { readClientsCutOff } from '../../session/brokers/clients-cut-off.ts'
import type { Keys } from '../../session/keys.ts'
import { guard, type RedisClient } from '../../session/redis/redis.ts'
import { formatTime } from '../api/conditions.ts'
import type { BrokerStatus, CleanupRecord } from '../api/imcluster.ts'
import type { LeaseProof, PodProof } from './death-proof.ts'
import type { PodFacts } from '../reads/pod.ts'

/** A process as the status shows it. */
export type KnownBroker = Pick<BrokerStatus, 'brokerId' | 'podUid' | 'bootId' | 'host'> & Partial<BrokerStatus>

export interface DepartureContext {
  readonly redis: RedisClient
  readonly keys: Keys
  /** An uncached read of a pod of the cluster's namespace. */
  readonly readPod: (name: string) => Promise<PodFacts | undefined>
  /** The brokers that the status shows: one of them that is not in the directory any more has left by itself. */
  readonly known: readonly KnownBroker[]
  /** Boots whose cleanup is recorded already, with the sessions removed. */
  readonly recorded: ReadonlyMap<string, number>
}

/**
 * Records the gateways that left the directory by themselves, each once its process has ended: a drain takes the sessions
 * along, so that nothing is left to clean, which its index proves.
 *
 * @returns the records, and the departures that have none yet
 * @throws SessionError `redis_unavailable`; ApiError of `readPod`
 */
export async function recordDepartures(
  { redis, keys, readPod, known, recorded }: DepartureContext,
  registered: readonly RegisteredIncarnation[],
): Promise<{ records: CleanupRecord[]; departed: KnownBroker[] }> {
  const records: CleanupRecord[] = []
  const departed: KnownBroker[] = []
  for (const broker of known) {
    const { brokerId, podUid, bootId } = broker
    if (bootId === '' || recorded.has(bootId) || registered.some((other) => other.bootId === bootId)) continue
    const hasSuccessor = registered.some((other) => other.podUid === podUid)
    const pod = findEnd(podUid, await readPod(brokerId), hasSuccessor)
    if (pod === undefined) {
      departed.push(broker)
      continue
    }
    const lease: LeaseProof = 'LeaseReleased'
    const orphansLeft = await guard(redis.scard(keys.index(brokerId, bootId)))
    const clientsCutOff = await readClientsCutOff(redis, keys, broker)
    records.push({
      brokerId,
      podUid,
      bootId,
      proof: { pod, lease },
      sessionsRemoved: 0,
      orphansLeft,
      ...(clientsCutOff > 0 && { clientsCutOff }),
      finishedAt: formatTime(new Date()),
    })
  }
  return { records, departed }
}

/** `hasSuccessor`: another process of the same pod is registered; a pod runs one at a time. */
function findEnd(podUid: string, pod: PodFacts | undefined, hasSuccessor: boolean): PodProof | undefined {
  if (pod === undefined) return 'PodGone'
  if (pod.uid !== podUid) return 'PodReplaced'
  return hasSuccessor || pod.gateway.runningSince === undefined ? 'ContainerEnded' : undefined
}
