import type { V1ContainerStatus } from '../../controller/kubernetes.ts'
import { GATEWAY_CONTAINER } from '../api/constants.ts'
import type { KubeApi } from '../../controller/api.ts'
import { isApiError } from '../../controller/errors.ts'
import type { KubeObject, ObjectName, Resource } from '../../controller/resource.ts'

/** The fields of a pod that the operator reads. Times are strings, as the API server sends them. */
export interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string }
  readonly status?: {
    readonly phase?: string
    readonly podIP?: string
    readonly reason?: string
    readonly message?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[]
    readonly containerStatuses?: readonly V1ContainerStatus[]
  }
}

export const pods: Resource<Pod> = { apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true }

/** The state of the gateway's container, once the kubelet has told it. */
export function gatewayStatus(pod: Pod): V1ContainerStatus | undefined {
  return pod.status?.containerStatuses?.find(({ name }) => name === GATEWAY_CONTAINER)
}

/** What the gateway's container waits for: the kubelet's word, and what it says of it. */
export function readWaiting(pod: Pod): { readonly reason: string; readonly message: string } | undefined {
  const { reason, message = reason } = gatewayStatus(pod)?.state?.waiting ?? {}
  return reason === undefined || message === undefined ? undefined : { reason, message }
}

/** What the proof of a dead process reads of a pod; times as the API server writes them (RFC 3339, whole seconds). */
export interface PodFacts {
  readonly uid: string
  /** Of a pod that is being deleted: until when it may take its time. */
  readonly endsBy?: Date | undefined
  /** Of the gateway's container, as it is now and was before. */
  readonly gateway: {
    /** When the container that runs now was started; undefined when none runs. */
    readonly runningSince?: Date | undefined
    /** When the last one ended. */
    readonly endedAt?: Date | undefined
  }
}

function buildPodFacts(pod: Pod): PodFacts {
  const status = gatewayStatus(pod)
  const ended = status?.state?.terminated ?? status?.lastState?.terminated
  return {
    uid: pod.metadata.uid ?? '',
    endsBy: toDate(pod.metadata.deletionTimestamp),
    gateway: { runningSince: toDate(status?.state?.running?.startedAt), endedAt: toDate(ended?.finishedAt) },
  }
}

/** Reads a pod from the API server, past every cache: undefined when there is none (P4). */
export async function readPod(api: KubeApi, name: ObjectName, signal: AbortSignal): Promise<Pod | undefined> {
  try {
    return await api.get(pods, name, { signal })
  } catch (error) {
    if (isApiError(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

/** What the proof of a dead process reads of a pod, as `readPod` reads it. */
export async function readPodFacts(api: KubeApi, name: ObjectName, signal: AbortSignal): Promise<PodFacts | undefined> {
  const pod = await readPod(api, name, signal)
  return pod && buildPodFacts(pod)
}

/** client-node's types say Date; the wire, which the runtime hands on, says string. */
function toDate(time: Date | string | undefined): Date | undefined {
  return time === undefined ? undefined : new Date(time)
}
