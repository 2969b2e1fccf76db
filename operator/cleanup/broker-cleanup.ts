import type { Lease, RegisteredIncarnation } from '../../session/brokers/broker.ts'
import { cleanIncarnation, readIncarnation, readIncarnations } from '../../session/brokers/cleanup.ts'
import { isBrokerOf } from '../../session/brokers/cluster-claim.ts'
import { SessionError } from '../../session/errors.ts'
import { readLeases } from '../../session/brokers/lease.ts'
import { formatTime } from '../api/conditions.ts'
import type { CleanupRecord } from '../api/imcluster.ts'
import { recordDepartures, type DepartureContext, type KnownBroker } from './drained-brokers.ts'
import { findPodProof, type LeaseProof } from './death-proof.ts'
import { isInTransit } from './transit.ts'

/** An incarnation without a lease that is not cleaned yet. */
export interface LostBroker {
  readonly incarnation: RegisteredIncarnation
  /** Its process is proved to be dead: its sessions are removed, and only the last pass is due. Else it waits for that proof. */
  readonly proved: boolean
}

/** What a round over all brokers of a cluster found and did. */
export interface CleanupRound {
  /** By brokerId: leases of living brokers. */
  readonly leases: ReadonlyMap<string, Lease>
  /** Incarnations in the register that are alive or not yet cleaned. */
  readonly registered: readonly RegisteredIncarnation[]
  readonly records: readonly CleanupRecord[]
  readonly lost: readonly LostBroker[]
  /** Brokers that leave the directory by themselves, or enter it, and whose processes are not proved to have ended yet. */
  readonly departed: readonly KnownBroker[]
  /** Brokers that were known and have no record: whatever becomes of them, the status remembers them until they have. */
  readonly unrecorded: readonly KnownBroker[]
  /** When the next pass is due, in milliseconds; undefined when none is. */
  readonly waitMs: number | undefined
}

export interface CleanupContext extends DepartureContext {
  /** Whose brokers: those named `<clusterName>-<ordinal>`. */
  readonly clusterName: string
  /** Between the passes of a cleanup; the directory's own default when absent. */
  readonly graceMs?: number
  /** `directory.offlineRetentionSeconds` of the ImCluster, or the gateway's default. */
  readonly offlineRetentionMs: number
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
  const { redis, keys, clusterName, known, recorded } = context
  const all = await readIncarnations(redis, keys)
  const registered = all.filter(({ brokerId }) => isBrokerOf(clusterName, brokerId))
  const leases = await readLeases(redis, keys, [...new Set(registered.map(({ brokerId }) => brokerId))])
  const records: CleanupRecord[] = []
  const lost: LostBroker[] = []
  const inTransit: KnownBroker[] = []
  let waitMs: number | undefined
  for (const incarnation of registered) {
    const lease = leases.get(incarnation.brokerId)
    if (lease?.bootId === incarnation.bootId) continue
    const outcome = await cleanBroker(context, incarnation, lease)
    if (outcome.inTransit === true) inTransit.push(incarnation)
    if (outcome.record !== undefined) records.push(outcome.record)
    if (outcome.lost !== undefined) lost.push(outcome.lost)
    if (outcome.waitMs !== undefined) waitMs = Math.min(waitMs ?? Infinity, outcome.waitMs)
  }
  const departures = await recordDepartures(context, registered)
  records.push(...departures.records)
  const unrecorded = known.filter(
    ({ bootId }) => bootId !== '' && !recorded.has(bootId) && !records.some((record) => record.bootId === bootId),
  )
  return { leases, registered, records, lost, departed: [...departures.departed, ...inTransit], unrecorded, waitMs }
}

interface Outcome {
  readonly record?: CleanupRecord
  readonly lost?: LostBroker
  readonly inTransit?: true
  readonly waitMs?: number
}

async function cleanBroker(
  context: CleanupContext,
  incarnation: RegisteredIncarnation,
  holder: Lease | undefined,
): Promise<Outcome> {
  const { redis, keys, readPod, known, recorded, offlineRetentionMs, signal } = context
  const { brokerId, podUid, bootId } = incarnation
  const facts = await readPod(brokerId)
  const pod = findPodProof(incarnation, facts)
  if (pod === undefined) {
    const entry = await readIncarnation(redis, keys, incarnation)
    const shown = known.find((broker) => broker.bootId === bootId)
    if (isInTransit({ entry, holder, pod: facts, known: shown })) return { inTransit: true, waitMs: PROOF_POLL_MS }
    return { lost: { incarnation, proved: false }, waitMs: PROOF_POLL_MS }
  }
  const lease: LeaseProof = holder === undefined ? 'LeaseExpired' : 'LeaseOfAnotherBoot'
  // The register remembers a process until its cleanup is recorded, whoever does that.
  const graceMs = context.graceMs ?? (recorded.has(bootId) ? undefined : Infinity)
  try {
    const result = await cleanIncarnation(redis, keys, incarnation, {
      offlineRetentionMs,
      signal,
      ...(graceMs !== undefined && { graceMs }),
    })
    // A drain that was cut short could not tell. Some of the sessions may be of devices that were offline.
    const before = known.find((broker) => broker.bootId === bootId && broker.state === 'draining')
    const clientsCutOff = Math.min(result.removedInAll, before?.connections ?? 0)
    const record: CleanupRecord = {
      brokerId,
      podUid,
      bootId,
      proof: { pod, lease },
      sessionsRemoved: result.removedInAll,
      orphansLeft: result.orphans,
      ...(clientsCutOff > 0 && { clientsCutOff }),
      finishedAt: formatTime(new Date()),
    }
    const worthIt = result.removedInAll > (recorded.get(bootId) ?? -1)
    return {
      ...(worthIt && { record }),
      ...(!result.finished && { lost: { incarnation, proved: true }, waitMs: result.waitMs }),
    }
  } catch (error) {
    // It took its lease again between our look and the cleanup: it lives.
    if (error instanceof SessionError && error.code === 'incarnation_alive') return { waitMs: PROOF_POLL_MS }
    throw error
  }
}
