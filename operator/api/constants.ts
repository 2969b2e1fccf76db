import type { Resource } from '../../controller/resource.ts'
import type { ImCluster } from './imcluster.ts'

const GROUP = 'imcluster.io'

/** The kind of ImCluster. */
export const imClusters: Resource<ImCluster> = {
  apiVersion: `${GROUP}/v1alpha1`,
  kind: 'ImCluster',
  plural: 'imclusters',
  namespaced: true,
}

/** Owner of all fields that the operator applies. */
export const FIELD_MANAGER = 'im-cluster-operator'

/** Keeps an ImCluster until its sessions are cleaned. */
export const FINALIZER = `${GROUP}/cleanup`

/** Name of the gateway's container. */
export const GATEWAY_CONTAINER = 'gateway'

/** Ports of the gateway's container. Those of the Service are the spec's, so a change of them restarts nothing. */
export const containerPorts = { tcp: 9000, websocket: 8080, admin: 9090 } as const

/** What selects the pods of a cluster within its namespace. It is part of StatefulSets, so it can never change. */
export function buildSelector(cluster: Pick<ImCluster, 'metadata'>): Record<string, string> {
  return { 'app.kubernetes.io/name': 'im-gateway', 'app.kubernetes.io/instance': cluster.metadata.name }
}

/** The labels of everything that belongs to a cluster. They say nothing of the operator's version, as it changes no pod. */
export function buildLabels(cluster: Pick<ImCluster, 'metadata'>): Record<string, string> {
  return {
    ...buildSelector(cluster),
    'app.kubernetes.io/component': 'gateway',
    'app.kubernetes.io/part-of': 'im-cluster',
    'app.kubernetes.io/managed-by': FIELD_MANAGER,
  }
}

/** A selector as the API server reads it in a query, and the scale subresource in the status. */
export function formatSelector(selector: Readonly<Record<string, string>>): string {
  return Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

/** The Service that gives each pod a name in DNS. The one for clients is named as the cluster. */
export function headlessServiceName(cluster: Pick<ImCluster, 'metadata'>): string {
  return `${cluster.metadata.name}-headless`
}
