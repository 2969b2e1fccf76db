import type { ImCluster, ImClusterStatus } from '../api/imcluster.ts'
import type { StatefulSet } from '../build/objects.ts'
import type { Pod } from '../reads/pod.ts'
import type { DirectoryState, Observation } from './observation.ts'

const quiet: DirectoryState = {
  round: { leases: new Map(), registered: [], records: [], lost: [], departed: [], unrecorded: [], waitMs: undefined },
}

/** What one pass may see of a cluster: all is well but for what is given. @param counts of the StatefulSet's status */
export function observe(
  replicas: number,
  counts: object,
  more: Partial<Observation> = {},
  status?: ImClusterStatus,
): Observation {
  const metadata = { name: 'im', namespace: 'chat', uid: 'u', generation: 2 }
  const cluster = { metadata, spec: { replicas, paused: false }, ...(status && { status }) } as unknown as ImCluster
  const statefulSet = {
    metadata: { generation: 1 },
    status: { observedGeneration: 1, ...counts },
  } as unknown as StatefulSet
  const pods = Array.from({ length: replicas }, (_, at): Pod => ({ metadata: { name: `im-${at}`, uid: `uid-${at}` } }))
  return { cluster, statefulSet, pods, directory: quiet, faults: [], ...more }
}

/** Counts of two gateways that are ready. */
export const whole = { replicas: 2, readyReplicas: 2, updatedReplicas: 2 }
