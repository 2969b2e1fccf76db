import type {
  V1NetworkPolicyEgressRule,
  V1NetworkPolicyPeer,
  V1NetworkPolicyPort,
  V1LabelSelector,
  V1PodDisruptionBudgetSpec,
  V1PodTemplateSpec,
  V1ServiceSpec,
  V1StatefulSetSpec,
  V1StatefulSetStatus,
} from '../../controller/kubernetes.ts'
import type { KubeObject, Resource } from '../../controller/resource.ts'

/** The objects that are built, as plain JSON. */
export interface StatefulSet extends KubeObject {
  readonly spec: V1StatefulSetSpec
  /** Of one that was read. */
  readonly status?: V1StatefulSetStatus
}
export interface Service extends KubeObject {
  readonly spec: V1ServiceSpec
}
export interface PodDisruptionBudget extends KubeObject {
  readonly spec: V1PodDisruptionBudgetSpec
}
/** Not the client's own type, which renames `from`. */
export interface NetworkPolicy extends KubeObject {
  readonly spec: {
    readonly podSelector: V1LabelSelector
    readonly policyTypes: readonly ('Ingress' | 'Egress')[]
    readonly ingress: readonly {
      readonly ports: readonly V1NetworkPolicyPort[]
      readonly from?: readonly V1NetworkPolicyPeer[]
    }[]
    readonly egress?: readonly V1NetworkPolicyEgressRule[]
  }
}
export interface ServiceAccount extends KubeObject {
  readonly automountServiceAccountToken: boolean
}
export type PodTemplate = V1PodTemplateSpec

export const statefulSets: Resource<StatefulSet> = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  plural: 'statefulsets',
  namespaced: true,
}

export const services: Resource<Service> = {
  apiVersion: 'v1',
  kind: 'Service',
  plural: 'services',
  namespaced: true,
}

export const podDisruptionBudgets: Resource<PodDisruptionBudget> = {
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  plural: 'poddisruptionbudgets',
  namespaced: true,
}

export const networkPolicies: Resource<NetworkPolicy> = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  namespaced: true,
}

export const serviceAccounts: Resource<ServiceAccount> = {
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  namespaced: true,
}
