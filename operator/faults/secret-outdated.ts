import type { ImCluster } from '../api/imcluster.ts'
import type { Fault } from './fault.ts'
import { listNames } from './list-names.ts'

/** Gateways that use something else than a Secret holds, and do not come to it by themselves. */
export function buildSecretOutdated(
  { metadata: { name, namespace } }: ImCluster,
  secret: string,
  names: readonly string[],
): Fault {
  const remedy = `kubectl --namespace ${namespace} rollout restart statefulset/${name} brings it to them`
  const message = `${listNames(names)}: not what the Secret ${secret} holds is used; ${remedy}`
  return { reason: 'SecretOutdated', message }
}

/**
 * Gateways that use another Redis than the Secret names. A restart would bring them there one after another: they would not see
 * each other meanwhile.
 */
export function buildRedisElsewhere(secret: string, names: readonly string[]): Fault {
  const where = `not heard of in the Redis that the Secret ${secret} names now: it is another one, with other data`
  const advice = 'correct the Secret, or see "Moving to another Redis" in docs/operations.md'
  return { reason: 'SecretOutdated', message: `${listNames(names)}: ready, and ${where}; ${advice}` }
}
