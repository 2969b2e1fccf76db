import type {
  V1PodDisruptionBudgetSpec,
  V1PodTemplateSpec,
  V1ServiceSpec,
  V1StatefulSetSpec,
} from '@kubernetes/client-node'
import type { KubeObject, Resource } from '../runtime/resource.ts'

/** The objects that are built, as plain JSON. */
export interface StatefulSet extends KubeObject {
  readonly spec: V1StatefulSetSpec
}
export interface Service extends KubeObject {
  readonly spec: V1ServiceSpec
}
export interface PodDisruptionBudget extends KubeObject {
  readonly spec: V1PodDisruptionBudgetSpec
}
export interface ServiceAccount extends KubeObject {
  readonly automountServiceAccountToken: boolean
}
export type PodTemplate = V1PodTemplateSpec

export const statefulSets = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  plural: 'statefulsets',
  namespaced: true,
} as const satisfies Resource<StatefulSet>

export const services = {
  apiVersion: 'v1',
  kind: 'Service',
  plural: 'services',
  namespaced: true,
} as const satisfies Resource<Service>

export const podDisruptionBudgets = {
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  plural: 'poddisruptionbudgets',
  namespaced: true,
} as const satisfies Resource<PodDisruptionBudget>

export const serviceAccounts = {
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  namespaced: true,
} as const satisfies Resource<ServiceAccount>
