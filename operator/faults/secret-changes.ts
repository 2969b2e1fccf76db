import { digestSecrets, type SecretGroup } from '../../session/secret-digest.ts'
import type { Lease } from '../../session/brokers/broker.ts'
import type { ImCluster } from '../api/imcluster.ts'
import type { StatefulSet } from '../build/objects.ts'
import { findSecretUses, type SecretUse } from '../build/secret-files.ts'
import { formOf, hasSecretFiles } from '../build/template-form.ts'
import type { Pod } from '../reads/pod.ts'
import { isApiError } from '../../controller/errors.ts'
import type { KubeApi } from '../../controller/api.ts'
import type { Fault } from './fault.ts'
import { buildRedisElsewhere, buildSecretOutdated } from './secret-outdated.ts'
import { buildSecretsChanging } from './secrets-changing.ts'
import { readSecret } from '../reads/secret.ts'

/** How often Secrets are read again, at most. */
const READ_MS = 15_000
/** How long a change may take to be in use: the kubelet needs up to a minute and a half to show it to a pod. */
const PATIENCE_MS = 180_000

/** Gateways that do not use what a Secret holds. */
interface SecretDifference {
  readonly secret: string
  readonly pods: readonly Pod[]
}

/** What the operator remembers of a cluster's Secrets. */
export interface KnownSecrets {
  readAt: number
  /** By group, with the version of the Secret and the keys that it is of. */
  digests: Map<SecretGroup, { readonly of: string; readonly digest: string }>
  /** What gateways do not use yet, and since when. */
  late: { readonly of: string; readonly since: number } | undefined
}

/** What is to be said of Secrets that changed. `changing`: it may still pass by itself. */
interface SecretVerdict {
  readonly changing?: Fault
  readonly faults: readonly Fault[]
}

/**
 * Compares what gateways say that they use with what their Secrets hold.
 *
 * @param known is kept up to date
 * @throws ApiError when a Secret cannot be read
 */
export async function findSecretChanges(
  api: KubeApi,
  known: KnownSecrets,
  cluster: ImCluster,
  statefulSet: StatefulSet | undefined,
  pods: readonly Pod[],
  leases: ReadonlyMap<string, Lease>,
  signal: AbortSignal,
  now = performance.now(),
): Promise<SecretVerdict> {
  const uses = findSecretUses(cluster.spec)
  if (uses.length > 0 && now - known.readAt >= READ_MS) {
    await readDigests(api, cluster, uses, known, signal)
    known.readAt = now
  }
  // A roll-out that is under way brings the others what there is.
  const revision = statefulSet?.status?.updateRevision
  const current = pods.filter(
    ({ metadata }) =>
      metadata.deletionTimestamp === undefined && metadata.labels?.['controller-revision-hash'] === revision,
  )
  const differences = uses.flatMap(({ group, name }): SecretDifference[] => {
    const wanted = known.digests.get(group)?.digest
    const late = current.filter((pod) => wanted !== undefined && usesAnother(pod, group, wanted, leases))
    return late.length === 0 ? [] : [{ secret: name, pods: late }]
  })
  if (differences.length === 0) {
    known.late = undefined
    return { faults: [] }
  }
  const of = [...known.digests.values()].map(({ digest }) => digest).join(' ')
  if (known.late?.of !== of) known.late = { of, since: now }
  return judgeDifferences(cluster, differences, leases, now - known.late.since >= PATIENCE_MS)
}

/** @param overdue whether they have been there for longer than a change takes */
function judgeDifferences(
  cluster: ImCluster,
  differences: readonly SecretDifference[],
  leases: ReadonlyMap<string, Lease>,
  overdue: boolean,
): SecretVerdict {
  const changing: { secret: string; names: string[] }[] = []
  const faults: Fault[] = []
  for (const { secret, pods } of differences) {
    const stuck = pods.filter(({ metadata }) => {
      // One that cannot use it says why itself; a restart would only end it.
      const unusable = leases.get(metadata.name)?.troubles?.some(({ reason }) => reason === 'SecretUnusable')
      return unusable !== true && (overdue || !hasSecretFiles(formOf(metadata.annotations)))
    })
    const coming = overdue ? [] : namesOf(pods.filter((pod) => !stuck.includes(pod)))
    if (coming.length > 0) changing.push({ secret, names: coming })
    const late = namesOf(stuck).filter((name) => leases.has(name))
    const elsewhere = namesOf(stuck).filter((name) => !leases.has(name))
    if (late.length > 0) faults.push(buildSecretOutdated(cluster, secret, late))
    if (elsewhere.length > 0) faults.push(buildRedisElsewhere(secret, elsewhere))
  }
  return { ...(changing.length > 0 && { changing: buildSecretsChanging(changing) }), faults }
}

function namesOf(pods: readonly Pod[]): string[] {
  return pods.map(({ metadata }) => metadata.name)
}

/** Gateways of 0.2.0 say nothing of what they use; but one whose lease is elsewhere uses another Redis. */
function usesAnother(
  { metadata: { name, uid }, status }: Pod,
  group: SecretGroup,
  wanted: string,
  leases: ReadonlyMap<string, Lease>,
): boolean {
  const lease = leases.get(name)
  const ready = status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True')
  if (lease === undefined) return group === 'redis' && ready === true
  const used = lease.podUid === uid ? lease.secrets?.[group] : undefined
  return used !== undefined && used !== wanted
}

/** Of a Secret that is not there, or not to be read, nothing is known: that is told where it is needed. */
async function readDigests(
  api: KubeApi,
  { metadata: { namespace }, spec }: ImCluster,
  uses: readonly SecretUse[],
  known: KnownSecrets,
  signal: AbortSignal,
): Promise<void> {
  const digests: KnownSecrets['digests'] = new Map()
  for (const { group, name, sources } of uses) {
    const secret = await readSecret(api, { namespace, name }, signal).catch((error: unknown) => {
      if (isApiError(error, 'FORBIDDEN')) return undefined
      throw error
    })
    const [first] = sources
    if (first === undefined || secret?.data?.[first.key] === undefined) continue
    const of = JSON.stringify([
      name,
      secret.metadata.uid,
      secret.metadata.resourceVersion,
      sources,
      spec.redis.keyPrefix,
    ])
    const before = known.digests.get(group)
    const values = sources.map(({ setting, key }) => [
      setting,
      Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8'),
    ])
    const digest =
      before?.of === of
        ? before.digest
        : await digestSecrets(group, spec.redis.keyPrefix, Object.fromEntries(values) as object)
    digests.set(group, { of, digest })
  }
  known.digests = digests
}
