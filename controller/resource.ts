/** The fields of an object's metadata that a controller uses. Times are strings, as the API server sends them. */
export interface ObjectMeta {
  name: string
  namespace?: string
  uid?: string
  resourceVersion?: string
  generation?: number
  creationTimestamp?: string
  deletionTimestamp?: string
  deletionGracePeriodSeconds?: number
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: OwnerReference[]
  managedFields?: unknown[]
}

export interface OwnerReference {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
  blockOwnerDeletion?: boolean
}

/** Any object of Kubernetes, as plain JSON. */
export interface KubeObject {
  apiVersion?: string
  kind?: string
  metadata: ObjectMeta
}

/** A kind of object: how it is named in bodies and in paths. `T` is the type of its objects. */
export interface Resource<T extends KubeObject = KubeObject> {
  /** `v1`, or group and version, like `apps/v1`. */
  readonly apiVersion: string
  readonly kind: string
  readonly plural: string
  readonly namespaced: boolean
  /** Never set; carries the type. */
  readonly objectType?: T
}

/** Which object of a kind. */
export interface ObjectName {
  readonly namespace?: string | undefined
  readonly name: string
}

/** `namespace/name`, or `name` of an object without namespace: unique within a kind, and what queues are keyed by. */
export function keyOf(object: KubeObject | ObjectName): string {
  const { namespace, name } = 'metadata' in object ? object.metadata : object
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`
}

/** The reverse of `keyOf`. */
export function parseKey(key: string): ObjectName {
  const slash = key.indexOf('/')
  return slash === -1 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** The path of a kind (without a namespace: in all namespaces), as the API server serves it. */
export function buildCollectionPath(resource: Resource, namespace?: string): string {
  const root = resource.apiVersion.includes('/') ? '/apis' : '/api'
  const scope = resource.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  return `${root}/${resource.apiVersion}${scope}/${resource.plural}`
}

/**
 * The path of one object, or of a subresource of it.
 *
 * @throws TypeError when the name is empty or a namespace is missing, which would address a whole collection
 */
export function buildObjectPath(resource: Resource, { namespace, name }: ObjectName, subresource?: string): string {
  if (name === '' || name === '.' || name === '..') throw new TypeError(`a ${resource.kind} needs a name`)
  if (resource.namespaced && (namespace === undefined || namespace === '')) {
    throw new TypeError(`${resource.kind} ${name} needs a namespace`)
  }
  const path = `${buildCollectionPath(resource, namespace)}/${encodeURIComponent(name)}`
  return subresource === undefined ? path : `${path}/${subresource}`
}
