import { buildSelector, headlessServiceName } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { buildIdentity } from './identity.ts'
import { statefulSets, type StatefulSet } from './objects.ts'
import { buildPodTemplate } from './pod-template.ts'
import { NEWEST_FORM, type TemplateForm } from './template-form.ts'

/** Builds the StatefulSet of the gateways, named as the cluster: the pods are `<cluster>-<ordinal>`, their brokerIds. */
export function buildStatefulSet(cluster: ImCluster, form: TemplateForm = NEWEST_FORM): StatefulSet {
  return {
    ...buildIdentity(statefulSets, cluster),
    spec: {
      replicas: cluster.spec.replicas,
      serviceName: headlessServiceName(cluster),
      selector: { matchLabels: buildSelector(cluster) },
      // Gateways need not wait for each other; and with OrderedReady one that never gets ready blocks its own correction.
      podManagementPolicy: 'Parallel',
      updateStrategy: { type: 'RollingUpdate' },
      template: buildPodTemplate(cluster, form),
    },
  }
}
