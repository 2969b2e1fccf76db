import { digestSecrets, type SecretGroup } from '../../session/secret-digest.ts'
import type { Lease } from '../../session/brokers/broker.ts'
import type { ImCluster } from '../api/imcluster.ts'
import type { StatefulSet } from '../build/objects.ts'
import { findSecretUses, type SecretUse } from '../build/secret-files.ts'
import { formOf, hasSecretFiles } from '../build/template-form.ts'
import type { Pod } from '../reads/pod.ts'
import { isApiError } from '../../controller/errors.ts'
import { keyOf } from '../../controller/resource.ts'
import type { KnownSecrets, ReconcileContext } from '../reconcile/context.ts'
import type { Fault } from './fault.ts'
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

/** What is to be said of Secrets that changed. `changing`: it may still pass by itself. */
interface SecretVerdict {
  readonly changing?: Fault
  readonly faults: readonly Fault[]
}

/**
 * Compares what gateways say that they use with what their Secrets hold.
 *
 * @throws ApiError when a Secret cannot be read
 */
export async function findSecretChanges(
  context: Pick<ReconcileContext, 'api' | 'memory'>,
  cluster: ImCluster,
  statefulSet: StatefulSet | undefined,
  pods: readonly Pod[],
  leases: ReadonlyMap<string, Lease>,
  signal: AbortSignal,
  now = performance.now(),
): Promise<SecretVerdict> {
  const uses = findSecretUses(cluster.spec)
  const known = context.memory.secrets(keyOf(cluster))
  if (uses.length > 0 && now - known.readAt >= READ_MS) {
    await readDigests(context, cluster, uses, known, signal)
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
  { metadata: { name, namespace } }: ImCluster,
  differences: readonly SecretDifference[],
  leases: ReadonlyMap<string, Lease>,
  overdue: boolean,
): SecretVerdict {
  const remedy = `kubectl --namespace ${namespace} rollout restart statefulset/${name} brings it to them`
  const changing: string[] = []
  const outdated: string[] = []
  for (const { secret, pods } of differences) {
    const stuck = pods.filter(({ metadata }) => {
      // One that cannot use it says why itself; a restart would only end it.
      const unusable = leases.get(metadata.name)?.troubles?.some(({ reason }) => reason === 'SecretUnusable')
      return unusable !== true && (overdue || !hasSecretFiles(formOf(metadata.annotations)))
    })
    const coming = overdue ? [] : pods.filter((pod) => !stuck.includes(pod))
    if (coming.length > 0) changing.push(`${listNames(coming)} will use what the Secret ${secret} holds in a moment`)
    const [elsewhere, late] = split(stuck, ({ metadata }) => leases.get(metadata.name) === undefined)
    if (late.length > 0) outdated.push(`${listNames(late)}: not what the Secret ${secret} holds is used; ${remedy}`)
    if (elsewhere.length > 0) outdated.push(`${listNames(elsewhere)}: ready, and ${notThere(secret)}`)
  }
  return {
    ...(changing.length > 0 && { changing: { reason: 'SecretsChanging', message: changing.join('; ') } }),
    faults: outdated.map((message) => ({ reason: 'SecretOutdated', message })),
  }
}

/** A restart would bring gateways to another Redis one after another: they would not see each other meanwhile. */
function notThere(secret: string): string {
  return (
    `not heard of in the Redis that the Secret ${secret} names now: it is another one, with other data; correct the Secret, or see ` +
    '"Moving to another Redis" in docs/operations.md'
  )
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
  { api }: Pick<ReconcileContext, 'api'>,
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

function split<Item>(items: readonly Item[], isFirst: (item: Item) => boolean): [first: Item[], others: Item[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))]
}

/** Gateways that a message names; of the others it has the number. */
const MAX_NAMES = 3

function listNames(pods: readonly Pod[]): string {
  const names = pods.map(({ metadata }) => metadata.name)
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : ''
  return `${names.slice(0, MAX_NAMES).join(', ')}${more}`
}
