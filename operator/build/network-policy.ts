import { buildSelector, containerPorts } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { buildIdentity } from './identity.ts'
import { networkPolicies, type NetworkPolicy } from './objects.ts'

const tcp = (port: number) => ({ port, protocol: 'TCP' })
const DNS = 53

/**
 * Builds the NetworkPolicy of the gateways, or none when the spec asks for none. The kubelet's probes come from the node,
 * which policies let through.
 */
export function buildNetworkPolicy(cluster: ImCluster): NetworkPolicy | undefined {
  const { networkPolicy } = cluster.spec
  if (networkPolicy?.enabled !== true) return undefined
  const { clientsFrom, adminFrom = [], egress } = networkPolicy
  const gateways = { podSelector: { matchLabels: buildSelector(cluster) } }
  const admin = [tcp(containerPorts.admin)]
  return {
    ...buildIdentity(networkPolicies, cluster),
    spec: {
      podSelector: gateways.podSelector,
      policyTypes: egress === undefined ? ['Ingress'] : ['Ingress', 'Egress'],
      ingress: [
        // Also the port of a listener that the Service does not have: it may be reached by pod address.
        {
          ports: [tcp(containerPorts.tcp), tcp(containerPorts.websocket)],
          ...(clientsFrom !== undefined && { from: clientsFrom }),
        },
        { ports: admin, from: [gateways, ...adminFrom] },
      ],
      // Redis and NATS are known by name, and partly in Secrets only, so that who restricts egress has to name them.
      ...(egress !== undefined && {
        egress: [{ ports: [{ port: DNS, protocol: 'UDP' }, tcp(DNS)] }, { ports: admin, to: [gateways] }, ...egress],
      }),
    },
  }
}
