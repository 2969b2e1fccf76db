import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { TestCluster } from '../../test/kit/kubernetes/im-cluster.ts'
import type { PodObject } from '../../test/kit/kubernetes/kubernetes.ts'
import { readLeaseHolder } from './sessions.ts'

const POLL_MS = 100

/** One process of a gateway: the container of a pod, and the boot that its lease names. */
export interface GatewayProcess {
  readonly brokerId: string
  readonly podUid: string
  readonly containerId: string
  readonly bootId: string
}

/** The process that is the broker of a name now. */
export async function readProcess(cluster: TestCluster, brokerId: string): Promise<GatewayProcess> {
  const [pod, bootId] = await Promise.all([
    cluster.kubectl.get<PodObject>('pod', brokerId),
    readLeaseHolder(cluster, brokerId),
  ])
  assert.ok(pod !== undefined && bootId !== undefined, `${brokerId} is a living gateway`)
  return { brokerId, podUid: pod.metadata.uid, containerId: containerOf(pod), bootId }
}

/**
 * Watches the end of a process, as anybody can see it: its lease is not its own any more, and its pod or container is gone.
 *
 * @returns how long after this proof the last session that named the process was gone, in milliseconds; 0 when all were gone
 *   before, as after a drain
 * @throws Error when that takes too long
 */
export async function timeCleanup(cluster: TestCluster, process: GatewayProcess, timeoutMs: number): Promise<number> {
  const { brokerId, podUid, bootId } = process
  const started = performance.now()
  let provedAt: number | undefined
  for (;;) {
    const now = performance.now()
    const [holder, incarnations, pod] = await Promise.all([
      readLeaseHolder(cluster, brokerId),
      cluster.incarnationsOf(brokerId),
      cluster.kubectl.get<PodObject>('pod', brokerId),
    ])
    const ended = pod?.metadata.uid !== podUid || containerOf(pod) !== process.containerId
    if (ended && holder !== bootId) provedAt ??= now
    if (provedAt !== undefined && !incarnations.includes(`${podUid}/${bootId}`)) return performance.now() - provedAt
    if (now - started > timeoutMs) {
      const what = provedAt === undefined ? 'is not proved dead' : 'is dead, and its sessions are there'
      throw new Error(`after ${timeoutMs} ms ${brokerId}, boot ${bootId}, ${what}`)
    }
    await delay(POLL_MS)
  }
}

/** The container that runs; empty when none does. */
function containerOf({ status }: PodObject): string {
  return status.containerStatuses?.find(({ state }) => state.running !== undefined)?.containerID ?? ''
}
