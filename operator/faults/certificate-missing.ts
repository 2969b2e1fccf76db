import type { KubeApi } from '../../controller/api.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { readWaiting, type Pod } from '../reads/pod.ts'
import { readSecret } from '../reads/secret.ts'
import type { Fault } from './fault.ts'

/**
 * Pods that wait for a certificate that is not there: the kubelet tells of that in Events alone. For people it is a ConfigError
 * like that of any other Secret.
 *
 * @throws ApiError when the Secret cannot be read
 */
export async function findCertificateMissing(
  api: KubeApi,
  { metadata: { namespace }, spec }: ImCluster,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<Fault[]> {
  const name = spec.listeners.tls?.secretName
  const waits = pods.some((pod) => readWaiting(pod)?.reason === 'ContainerCreating')
  if (name === undefined || !waits || (await readSecret(api, { namespace, name }, signal)) !== undefined) return []
  const advice = 'create it, of type kubernetes.io/tls, or correct spec.listeners.tls.secretName'
  return [{ reason: 'ConfigError', message: `Secret ${name} is not there, and no gateway starts without; ${advice}` }]
}
