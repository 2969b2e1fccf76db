import type { V1Container, V1PodSpec, V1Probe, V1TopologySpreadConstraint } from '@kubernetes/client-node'
import { buildLabels, buildSelector, containerPorts, GATEWAY_CONTAINER } from '../api/constants.ts'
import type { ImCluster, ImClusterSpec } from '../api/imcluster.ts'
import { buildGatewayEnvironment, TLS_DIRECTORY } from './gateway-environment.ts'
import type { PodTemplate } from './objects.ts'

/** What a gateway needs after its drain: to close its connections, and to leave Redis and NATS even when they are slow. */
const LEAVE_SECONDS = 15

/** How long Kubernetes waits for a gateway to leave, in seconds. */
export function gracePeriodOf({ terminationGracePeriodSeconds, drain }: ImClusterSpec): number {
  return terminationGracePeriodSeconds ?? drain.deadlineSeconds + LEAVE_SECONDS
}

/**
 * Builds the template of the gateways' pods. It depends on the spec alone, and not on replicas, Service or budget: the
 * same spec gives the same template whatever operator builds it, since every difference restarts all gateways.
 */
export function buildPodTemplate(cluster: ImCluster): PodTemplate {
  const { spec } = cluster
  const { metadata, securityContext, topologySpreadConstraints, ...rest } = spec.podTemplate ?? {}
  const pod: V1PodSpec = {
    ...rest,
    serviceAccountName: cluster.metadata.name,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: gracePeriodOf(spec),
    topologySpreadConstraints: buildSpread(cluster, topologySpreadConstraints),
    securityContext: { ...securityContext, runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [buildContainer(spec)],
  }
  if (spec.imagePullSecrets) pod.imagePullSecrets = spec.imagePullSecrets.map(({ name }) => ({ name }))
  if (spec.listeners.tls) {
    // Everyone in the container may read it: there is one user, whose id is the image's.
    const secret = { secretName: spec.listeners.tls.secretName, defaultMode: 0o444 }
    pod.volumes = [{ name: 'tls', secret }]
  }
  const annotations = metadata?.annotations && { annotations: metadata.annotations }
  // The operator's labels last: the selector must find the pods whatever the spec says.
  return { metadata: { ...annotations, labels: { ...metadata?.labels, ...buildLabels(cluster) } }, spec: pod }
}

function buildContainer(spec: ImClusterSpec): V1Container {
  const container: V1Container = {
    name: GATEWAY_CONTAINER,
    image: spec.image,
    imagePullPolicy: spec.imagePullPolicy,
    env: buildGatewayEnvironment(spec),
    // All of them, whatever the Service has: so that a change of the Service restarts nothing.
    ports: Object.entries(containerPorts).map(([name, containerPort]) => ({ name, containerPort, protocol: 'TCP' })),
    // Answered as soon as the process runs; the gateway itself gives up when it cannot reach Redis or NATS.
    startupProbe: buildProbe('/livez', [1, 1], 60),
    readinessProbe: buildProbe('/readyz', [2, 2], 2),
    // Patient: a restart costs every client its connection.
    livenessProbe: buildProbe('/livez', [10, 5], 6),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    },
    // The one fatal line of a failed start can be read in the pod's status.
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }
  if (spec.resources) container.resources = spec.resources
  if (spec.listeners.tls) container.volumeMounts = [{ name: 'tls', mountPath: TLS_DIRECTORY, readOnly: true }]
  return container
}

/** @param seconds between two of them, and for each */
function buildProbe(
  path: string,
  seconds: readonly [period: number, timeout: number],
  failureThreshold: number,
): V1Probe {
  const [periodSeconds, timeoutSeconds] = seconds
  return { httpGet: { path, port: 'admin' }, periodSeconds, timeoutSeconds, failureThreshold }
}

function buildSpread(
  cluster: ImCluster,
  wanted: readonly V1TopologySpreadConstraint[] | undefined,
): V1TopologySpreadConstraint[] {
  const labelSelector = { matchLabels: buildSelector(cluster) }
  if (wanted) return wanted.map((constraint) => Object.assign({ labelSelector }, constraint))
  return [{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway', labelSelector }]
}
