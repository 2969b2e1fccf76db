import { type KubeObject, type Resource } from './resource.ts'

/** A Lease as it is on the wire: times are strings, and written with six digits of a second (`V1MicroTime`). */
export interface Lease extends KubeObject {
  spec?: LeaseSpec
}

export interface LeaseSpec {
  holderIdentity?: string
  leaseDurationSeconds?: number
  acquireTime?: string
  renewTime?: string
  leaseTransitions?: number
}

export const leases: Resource<Lease> = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
}

/** A time as `MicroTime` (meta/v1): the API server refuses one without exactly six digits of a second. */
export function buildMicroTime(time: Date): string {
  return time.toISOString().replace(/\.(\d{3})Z$/, '.$1000Z')
}
