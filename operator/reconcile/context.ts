import type { RedisPool } from '../redis-pool.ts'
import type { CleanupRecord, ImCluster } from '../api/imcluster.ts'
import type { KubeApi } from '../../controller/api.ts'
import type { EventDraft } from '../../controller/event-recorder.ts'
import { statefulSets } from '../build/objects.ts'
import { keyOf, type KubeObject, type Resource } from '../../controller/resource.ts'
import type { StoreReader } from '../../controller/store.ts'
import type { Pod } from '../reads/pod.ts'
import type { Logger } from '../logger.ts'
import type { OperatorMetrics } from '../metrics.ts'
import type { LeaseWatch } from './lease-watch.ts'
import type { Mark } from '../faults/progress-deadline-exceeded.ts'
import type { KnownSecrets } from '../faults/secret-changes.ts'

/** Index of stores by the cluster that an object belongs to, `namespace/name`. */
export const BY_CLUSTER = 'cluster'

/** Index of the store of ImClusters by their name alone. */
export const BY_NAME = 'name'

/** What the steps of a reconcile share. */
export interface ReconcileContext {
  readonly api: KubeApi
  readonly clusters: StoreReader<ImCluster>
  readonly pods: StoreReader<Pod>
  /** What the operator has applied, as the watch shows it; undefined when it is not there. */
  readonly readStored: <T extends KubeObject>(resource: Resource<T>, key: string) => T | undefined
  readonly record: (cluster: ImCluster, event: EventDraft) => void
  readonly redis: RedisPool
  readonly leases: LeaseWatch
  readonly memory: ClusterMemory
  readonly metrics: OperatorMetrics
  readonly logger: Logger
}

/** Whether an object is of an ImCluster, and not of a former one or somebody else's of that name. */
export function isOwnedBy(object: KubeObject | undefined, { metadata: { uid } }: ImCluster): boolean {
  return object?.metadata.ownerReferences?.some((owner) => owner.uid === uid) === true
}

/** Whether the operator has made gateways for a cluster: it was free to have its name, and is not refused for it later. */
export function isEstablished({ readStored }: ReconcileContext, cluster: ImCluster): boolean {
  return isOwnedBy(readStored(statefulSets, keyOf(cluster)), cluster)
}

/** What is worth keeping of a cluster between two passes. Losing it costs a write or two, and never correctness. */
export class ClusterMemory {
  readonly #applied = new Map<string, Map<string, Applied>>()
  readonly #unwritten = new Map<string, CleanupRecord[]>()
  readonly #recorded = new Map<string, Map<string, number>>()
  readonly #outdated = new Map<string, string | undefined>()
  readonly #marks = new Map<string, Mark>()
  readonly #secrets = new Map<string, KnownSecrets>()

  /** What was applied for a cluster, by kind and name. */
  applied(key: string): Map<string, Applied> {
    return entryOf(this.#applied, key, () => new Map<string, Applied>())
  }

  /** Cleanups of a cluster that its status does not show yet. */
  unwritten(key: string): CleanupRecord[] {
    return entryOf(this.#unwritten, key, (): CleanupRecord[] => [])
  }

  /** Boots of a cluster whose cleanup was recorded, with the sessions removed: more than the status has room for. */
  recorded(key: string): Map<string, number> {
    return entryOf(this.#recorded, key, () => new Map<string, number>())
  }

  /** Remembers that this version of a cluster has been written over. */
  setOutdated(cluster: ImCluster): void {
    this.#outdated.set(keyOf(cluster), cluster.metadata.resourceVersion)
  }

  /** Whether the watch has not shown the last write yet: a pass would do again what is done. */
  isOutdated(cluster: ImCluster): boolean {
    return this.#outdated.get(keyOf(cluster)) === cluster.metadata.resourceVersion
  }

  /** How far a cluster is, since when: the former mark while it says the same. */
  mark(key: string, mark: Mark): Mark {
    const former = this.#marks.get(key)
    const kept = former?.text === mark.text ? former : mark
    this.#marks.set(key, kept)
    return kept
  }

  /** What is known of a cluster's Secrets: digests, never values. */
  secrets(key: string): KnownSecrets {
    return entryOf(this.#secrets, key, (): KnownSecrets => ({ readAt: -Infinity, digests: new Map(), late: undefined }))
  }

  forget(key: string): void {
    this.#secrets.delete(key)
    this.#marks.delete(key)
    this.#applied.delete(key)
    this.#unwritten.delete(key)
    this.#recorded.delete(key)
    this.#outdated.delete(key)
  }
}

/** An object as it was after the last apply. */
export interface Applied {
  /** The wanted object, as JSON. */
  readonly wanted: string
  readonly version: string
}

function entryOf<Value>(map: Map<string, Value>, key: string, create: () => Value): Value {
  const value = map.get(key) ?? create()
  map.set(key, value)
  return value
}
