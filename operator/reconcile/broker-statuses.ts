import type { BrokerStatus } from '../api/imcluster.ts'
import type { Observation } from '../conditions/observation.ts'

/** `status.brokers`: the gateways, each start of one apart: those of pods, and those that are dead and not cleaned yet. */
export function buildBrokers({ cluster, pods, directory }: Observation): BrokerStatus[] {
  const known = cluster.status?.brokers ?? []
  const brokers = pods.map((pod): BrokerStatus => {
    const { name, uid: podUid = '' } = pod.metadata
    const lease = directory.round?.leases.get(name)
    if (lease?.podUid === podUid) {
      const { bootId, state, host, connections } = lease
      return { brokerId: name, podUid, bootId, state, host, connections }
    }
    // While Redis is away what was last known is better than nothing.
    const before =
      directory.round === undefined && known.find((broker) => broker.podUid === podUid && broker.brokerId === name)
    if (before) return before
    const bootId = directory.round?.departed.find((broker) => broker.podUid === podUid)?.bootId ?? ''
    const state = bootId !== '' && pod.metadata.deletionTimestamp !== undefined ? 'draining' : 'pending'
    const host = pod.status?.podIP
    return { brokerId: name, podUid, bootId, state, connections: 0, ...(host !== undefined && { host }) }
  })
  // Deleted by force, a pod is forgotten while its process still drains.
  for (const { brokerId, podUid, bootId, host } of directory.round?.registered ?? []) {
    const lease = directory.round?.leases.get(brokerId)
    if (lease?.bootId !== bootId || pods.some(({ metadata }) => metadata.uid === podUid)) continue
    brokers.push({ brokerId, podUid, bootId, state: lease.state, host, connections: lease.connections })
  }
  for (const { incarnation } of directory.round?.lost ?? []) {
    const { brokerId, podUid, bootId, host, cleanedAt } = incarnation
    if (cleanedAt === undefined) brokers.push({ brokerId, podUid, bootId, state: 'lost', host, connections: 0 })
  }
  // Nothing else remembers a boot that has no record: its pod may go, or it may leave, in the middle of this pass.
  for (const { brokerId, podUid, bootId, host } of directory.round?.unrecorded ?? known) {
    if (bootId === '' || brokers.some((broker) => broker.bootId === bootId)) continue
    brokers.push({ brokerId, podUid, bootId, state: 'draining', connections: 0, ...(host !== undefined && { host }) })
  }
  return brokers.toSorted((a, b) => ordinalOf(a) - ordinalOf(b)).slice(0, MAX_BROKERS)
}

/** The CRD's bound. */
const MAX_BROKERS = 2_000

function ordinalOf({ brokerId }: BrokerStatus): number {
  return Number(brokerId.slice(brokerId.lastIndexOf('-') + 1))
}
