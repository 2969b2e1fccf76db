import { buildSelector, containerPorts, headlessServiceName } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { buildIdentity } from './identity.ts'
import { services, type Service } from './objects.ts'

/** Builds the Service that gives each gateway a name in DNS, also while it starts or drains. */
export function buildHeadlessService(cluster: ImCluster): Service {
  return {
    ...buildIdentity(services, cluster, headlessServiceName(cluster)),
    spec: {
      clusterIP: 'None',
      // Each family that the pods have an address of.
      ipFamilyPolicy: 'PreferDualStack',
      publishNotReadyAddresses: true,
      selector: buildSelector(cluster),
      ports: [{ name: 'admin', port: containerPorts.admin, targetPort: 'admin', protocol: 'TCP' }],
    },
  }
}
