import type { TestCluster } from '../../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../../test/kit/kubernetes/kubernetes.ts'

/** The boot id of the process that holds a broker's lease; undefined when none does. */
export async function readLeaseHolder(cluster: TestCluster, brokerId: string): Promise<string | undefined> {
  const lease = (await cluster.redis('GET', `im:broker:{${brokerId}}`)).trim()
  return lease === '' ? undefined : (JSON.parse(lease) as { bootId: string }).bootId
}

/** Waits until no stored session names a process that is gone: the boot of each holds the lease of its broker. */
export async function waitForNoDeadSession(
  cluster: TestCluster,
  brokerIds: readonly string[],
  timeoutMs: number,
): Promise<void> {
  await waitFor('no session of a dead boot', timeoutMs, async () => {
    for (const brokerId of brokerIds) {
      const bootId = await readLeaseHolder(cluster, brokerId)
      const incarnations = await cluster.incarnationsOf(brokerId)
      if (incarnations.some((incarnation) => incarnation.split('/').at(-1) !== bootId)) return false
    }
    return true
  })
}
