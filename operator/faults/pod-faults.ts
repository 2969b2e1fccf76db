import type { V1ContainerStateTerminated } from '../../controller/kubernetes.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { gatewayStatus, type Pod } from '../reads/pod.ts'
import type { KubeApi } from '../../controller/api.ts'
import type { Fault } from './fault.ts'
import { readSecret } from '../reads/secret.ts'

/** Reasons of a waiting container that do not pass by themselves: what the condition calls them, and what to do. */
const waitingFaults: Readonly<Record<string, readonly [reason: string, advice?: string]>> = {
  ImagePullBackOff: ['ImagePullFailed', 'correct spec.image, or spec.imagePullSecrets'],
  ErrImagePull: ['ImagePullFailed', 'correct spec.image, or spec.imagePullSecrets'],
  InvalidImageName: ['ImagePullFailed', 'correct spec.image'],
  ErrImageNeverPull: ['ImagePullFailed', 'load the image on the node, or correct spec.image'],
  CrashLoopBackOff: ['CrashLoop'],
  CreateContainerConfigError: ['ConfigError', 'create what is missing, or correct its name in the spec'],
  CreateContainerError: ['ConfigError'],
  RunContainerError: ['ConfigError'],
}

/** What is wrong with pods: images that cannot be pulled, crashes, no node that takes them. One fault for each pod. */
export function findPodFaults(pods: readonly Pod[]): Fault[] {
  return pods.flatMap((pod) => {
    const { name } = pod.metadata
    if (pod.metadata.deletionTimestamp !== undefined) return []
    const status = gatewayStatus(pod)
    const waiting = status?.state?.waiting
    const [reason, advice] = waitingFaults[waiting?.reason ?? ''] ?? []
    if (reason !== undefined) {
      const ended = status?.lastState?.terminated
      const what = reason === 'CrashLoop' && ended !== undefined ? describeEnd(ended) : waiting?.message
      return [{ reason, message: [`pod ${name}: ${what ?? waiting?.reason ?? ''}`, advice ?? []].flat().join('; ') }]
    }
    const scheduled = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')
    if (scheduled?.status === 'False') {
      return [{ reason: 'Unschedulable', message: `pod ${name}: ${scheduled.message ?? 'no node takes it'}` }]
    }
    return []
  })
}

/**
 * Finds out whether pods wait for a certificate that is not there: the kubelet tells of that in Events alone.
 *
 * @throws ApiError when the Secret cannot be read
 */
export async function findCertificateFault(
  api: KubeApi,
  { metadata: { namespace }, spec }: ImCluster,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<Fault[]> {
  const name = spec.listeners.tls?.secretName
  const waits = pods.some((pod) => gatewayStatus(pod)?.state?.waiting?.reason === 'ContainerCreating')
  if (name === undefined || !waits || (await readSecret(api, { namespace, name }, signal)) !== undefined) return []
  const advice = 'create it, of type kubernetes.io/tls, or correct spec.listeners.tls.secretName'
  return [{ reason: 'ConfigError', message: `Secret ${name} is not there, and no gateway starts without; ${advice}` }]
}

/** The gateway's own last words, which name the setting or what could not be reached, where the log ends with them. */
function describeEnd({ exitCode, message = '' }: V1ContainerStateTerminated): string {
  const end = `it ends again and again, with exit code ${exitCode}`
  // What is left of a long line is its end, where the message is.
  const [, words] = /"msg":("(?:[^"\\]|\\.)*")\}\s*$/.exec(message) ?? []
  return words === undefined ? `${end}; see kubectl logs --previous` : `${end}: ${JSON.parse(words) as string}`
}
