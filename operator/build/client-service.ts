import type { V1ServicePort, V1ServiceSpec } from '../../controller/kubernetes.ts'
import { buildSelector } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { buildIdentity } from './identity.ts'
import { services, type Service } from './objects.ts'

/** Builds the Service that clients connect to, named as the cluster. Any gateway serves any client. */
export function buildClientService(cluster: ImCluster): Service {
  const { type, annotations, ipFamilyPolicy, externalTrafficPolicy, loadBalancerClass } = cluster.spec.service
  const spec: V1ServiceSpec = { type, ipFamilyPolicy, sessionAffinity: 'None', selector: buildSelector(cluster) }
  spec.ports = buildPorts(cluster)
  if (externalTrafficPolicy !== undefined) spec.externalTrafficPolicy = externalTrafficPolicy
  if (loadBalancerClass !== undefined) spec.loadBalancerClass = loadBalancerClass
  const { metadata, ...kind } = buildIdentity(services, cluster)
  return { ...kind, metadata: annotations ? { ...metadata, annotations: { ...annotations } } : metadata, spec }
}

function buildPorts({ spec: { listeners, service } }: ImCluster): V1ServicePort[] {
  const webSocket = listeners.tls ? 'kubernetes.io/wss' : 'kubernetes.io/ws'
  return (
    [
      ['tcp', 'tcp'],
      ['websocket', webSocket],
    ] as const
  ).flatMap(([name, appProtocol]) => {
    const { enabled, port } = listeners[name]
    if (!enabled) return []
    const nodePort = service.nodePorts?.[name]
    const found = { name, appProtocol, port, targetPort: name, protocol: 'TCP' }
    return nodePort === undefined ? found : { ...found, nodePort }
  })
}
