import { buildSelector } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { buildIdentity } from './identity.ts'
import { podDisruptionBudgets, type PodDisruptionBudget } from './objects.ts'

/** Builds the budget of evictions, or none for fewer than two gateways, where there is nothing to keep one up for. */
export function buildPodDisruptionBudget(cluster: ImCluster): PodDisruptionBudget | undefined {
  if (cluster.spec.replicas <= 1) return undefined
  return {
    ...buildIdentity(podDisruptionBudgets, cluster),
    spec: {
      maxUnavailable: cluster.spec.podDisruptionBudget.maxUnavailable,
      selector: { matchLabels: buildSelector(cluster) },
      // A gateway that does not get ready holds up no node's drain.
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    },
  }
}
