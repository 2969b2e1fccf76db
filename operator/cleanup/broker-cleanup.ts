import type { Lease, RegisteredIncarnation } from '../../session/broker.ts'
import { cleanIncarnation, readIncarnations } from '../../session/cleanup.ts'
import { isBrokerOf } from '../../session/cluster-claim.ts'
import { SessionError } from '../../session/errors.ts'
import type { Keys } from '../../session/keys.ts'
import { readLeases } from '../../session/lease.ts'
import { guard, type RedisClient } from '../../session/redis.ts'
import { formatTime } from '../api/conditions.ts'
import type { BrokerStatus, CleanupRecord } from '../api/imcluster.ts'
import { findPodProof, type PodFacts } from './proof.ts'

/** Why the lease is no obstacle: it ran out, names another boot, or was given up by a gateway that left in good order. */
type LeaseProof = 'LeaseExpired' | 'LeaseOfAnotherBoot' | 'LeaseReleased'

/** An incarnation without a lease that is not cleaned yet. */
export interface LostBroker {
  readonly incarnation: RegisteredIncarnation
  /** What it waits for, for people; absent once its sessions are removed and only the last pass is due. */
  readonly waitsFor?: string
}

/** What a round over all brokers of a cluster found and did. */
export interface CleanupRound {
  /** By brokerId: leases of living brokers. */
  readonly leases: ReadonlyMap<string, Lease>
  /** Incarnations in the register that are alive or not yet cleaned. */
  readonly registered: readonly RegisteredIncarnation[]
  readonly records: readonly CleanupRecord[]
  readonly lost: readonly LostBroker[]
  /** When the next pass is due, in milliseconds; undefined when none is. */
  readonly waitMs: number | undefined
}

export interface CleanupContext {
  readonly redis: RedisClient
  readonly keys: Keys
  /** Whose brokers: those named `<clusterName>-<ordinal>`. */
  readonly clusterName: string
  /** An uncached read of a pod of the cluster's namespace. */
  readonly readPod: (name: string) => Promise<PodFacts | undefined>
  /** The brokers that the status shows: one of them that is not in the directory any more has left by itself. */
  readonly known: readonly Pick<BrokerStatus, 'brokerId' | 'podUid' | 'bootId'>[]
  /** Boots whose cleanup is recorded already, with the sessions removed. */
  readonly recorded: ReadonlyMap<string, number>
  /** Between the passes of a cleanup; the directory's own default when absent. */
  readonly graceMs?: number
  readonly signal: AbortSignal
}

/** How soon to look again at a broker that is not alive and not proved dead. */
const PROOF_POLL_MS = 1_000

/**
 * Removes the sessions of the cluster's dead processes, each after proof that it is dead (P4): its lease is not its own
 * any more, and its pod or container is gone. Level-based: it needs no memory of what happened before.
 *
 * @throws SessionError `redis_unavailable`; ApiError of `readPod`
 */
export async function cleanDeadBrokers(context: CleanupContext): Promise<CleanupRound> {
  const { redis, keys, clusterName } = context
  const all = await readIncarnations(redis, keys)
  const registered = all.filter(({ brokerId }) => isBrokerOf(clusterName, brokerId))
  const leases = await readLeases(redis, keys, [...new Set(registered.map(({ brokerId }) => brokerId))])
  const records: CleanupRecord[] = []
  const lost: LostBroker[] = []
  let waitMs: number | undefined
  for (const incarnation of registered) {
    const lease = leases.get(incarnation.brokerId)
    if (lease?.bootId === incarnation.bootId) continue
    const outcome = await cleanBroker(context, incarnation, lease === undefined ? 'LeaseExpired' : 'LeaseOfAnotherBoot')
    if (outcome.record !== undefined) records.push(outcome.record)
    if (outcome.lost !== undefined) lost.push(outcome.lost)
    if (outcome.waitMs !== undefined) waitMs = Math.min(waitMs ?? Infinity, outcome.waitMs)
  }
  records.push(...(await recordDepartures(context, registered)))
  return { leases, registered, records, lost, waitMs }
}

/** A gateway that drained took its sessions with it. That is proved and recorded like a cleanup: its index must be gone. */
async function recordDepartures(
  { redis, keys, known, recorded, readPod }: CleanupContext,
  registered: readonly RegisteredIncarnation[],
): Promise<CleanupRecord[]> {
  const records: CleanupRecord[] = []
  for (const { brokerId, podUid, bootId } of known) {
    if (bootId === '' || recorded.has(bootId) || registered.some((incarnation) => incarnation.bootId === bootId))
      continue
    const current = await readPod(brokerId)
    if (current?.uid === podUid) continue
    const proof = { pod: current === undefined ? 'PodGone' : 'PodReplaced', lease: 'LeaseReleased' }
    const orphansLeft = await guard(redis.scard(keys.index(brokerId, bootId)))
    records.push({
      brokerId,
      podUid,
      bootId,
      proof,
      sessionsRemoved: 0,
      orphansLeft,
      finishedAt: formatTime(new Date()),
    })
  }
  return records
}

interface Outcome {
  readonly record?: CleanupRecord
  readonly lost?: LostBroker
  readonly waitMs?: number
}

async function cleanBroker(
  context: CleanupContext,
  incarnation: RegisteredIncarnation,
  lease: LeaseProof,
): Promise<Outcome> {
  const { redis, keys, readPod, recorded, graceMs, signal } = context
  const { brokerId, podUid, bootId } = incarnation
  const pod = findPodProof(incarnation, await readPod(brokerId))
  if (pod === undefined) {
    const waitsFor = `pod ${brokerId} is there and its container has not ended; it may only be slow, or its node away`
    return { lost: { incarnation, waitsFor }, waitMs: PROOF_POLL_MS }
  }
  try {
    const result = await cleanIncarnation(redis, keys, incarnation, {
      signal,
      ...(graceMs !== undefined && { graceMs }),
    })
    const record: CleanupRecord = {
      brokerId,
      podUid,
      bootId,
      proof: { pod, lease },
      sessionsRemoved: result.removedInAll,
      orphansLeft: result.orphans,
      finishedAt: formatTime(new Date()),
    }
    const worthIt = result.removedInAll > (recorded.get(bootId) ?? -1)
    return { ...(worthIt && { record }), ...(!result.finished && { lost: { incarnation }, waitMs: result.waitMs }) }
  } catch (error) {
    // It took its lease again between our look and the cleanup: it lives.
    if (error instanceof SessionError && error.code === 'incarnation_alive') return { waitMs: PROOF_POLL_MS }
    throw error
  }
}
