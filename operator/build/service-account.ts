import type { ImCluster } from '../api/imcluster.ts'
import { buildIdentity } from './identity.ts'
import { serviceAccounts, type ServiceAccount } from './objects.ts'

/** Builds the ServiceAccount of the gateways. It has no rights and no token: gateways never call the API server. */
export function buildServiceAccount(cluster: ImCluster): ServiceAccount {
  return { ...buildIdentity(serviceAccounts, cluster), automountServiceAccountToken: false }
}
