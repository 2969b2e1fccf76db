import { buildLabels, imClusters } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import type { KubeObject, Resource } from '../../controller/resource.ts'

/**
 * Builds what all objects of a cluster have: kind, name, labels, and the cluster as owner, with which they are deleted.
 *
 * @param name the cluster's unless told otherwise
 */
export function buildIdentity(
  { apiVersion, kind }: Resource,
  cluster: ImCluster,
  name: string = cluster.metadata.name,
): Required<Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'>> {
  const owner = { apiVersion: imClusters.apiVersion, kind: imClusters.kind, name: cluster.metadata.name }
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace: cluster.metadata.namespace,
      labels: buildLabels(cluster),
      ownerReferences: [{ ...owner, uid: cluster.metadata.uid, controller: true, blockOwnerDeletion: true }],
    },
  }
}
