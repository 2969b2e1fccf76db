import type {
  V1Container,
  V1PodSpec,
  V1Probe,
  V1TopologySpreadConstraint,
  V1Volume,
} from '../../controller/kubernetes.ts'
import { buildLabels, buildSelector, containerPorts, GATEWAY_CONTAINER } from '../api/constants.ts'
import type { ImCluster, ImClusterSpec } from '../api/imcluster.ts'
import { buildGatewayEnvironment, TLS_DIRECTORY } from './gateway-environment.ts'
import { buildSecretFiles, SECRETS_DIRECTORY } from './secret-files.ts'
import type { PodTemplate } from './objects.ts'
import { FORM_ANNOTATION, hasSecretFiles, NEWEST_FORM, type TemplateForm } from './template-form.ts'

/** What a gateway needs after its drain: to close its connections, and to leave Redis and NATS even when they are slow. */
const LEAVE_SECONDS = 15

/** How long Kubernetes waits for a gateway to leave, in seconds. */
export function gracePeriodOf({ terminationGracePeriodSeconds, drain }: ImClusterSpec): number {
  return terminationGracePeriodSeconds ?? drain.deadlineSeconds + LEAVE_SECONDS
}

/**
 * Builds the template of the gateways' pods. It depends on spec and form alone, and not on replicas, Service or budget: the
 * same spec gives the same template whatever operator builds it, since every difference restarts all gateways. What a new
 * release wants to have otherwise makes a new form.
 */
export function buildPodTemplate(cluster: ImCluster, form: TemplateForm = NEWEST_FORM): PodTemplate {
  const { spec } = cluster
  const { metadata, securityContext, topologySpreadConstraints, ...rest } = spec.podTemplate ?? {}
  const pod: V1PodSpec = {
    ...rest,
    serviceAccountName: cluster.metadata.name,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: gracePeriodOf(spec),
    topologySpreadConstraints: buildSpread(cluster, topologySpreadConstraints, form),
    securityContext: { ...securityContext, runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [buildContainer(spec)],
  }
  if (spec.imagePullSecrets) pod.imagePullSecrets = spec.imagePullSecrets.map(({ name }) => ({ name }))
  const volumes = buildVolumes(spec, form)
  if (volumes.length > 0) {
    pod.volumes = volumes.map(([volume]) => volume)
    const mounts = volumes.map(([{ name }, mountPath]) => ({ name, mountPath, readOnly: true }))
    for (const container of pod.containers) container.volumeMounts = mounts
  }
  const marks = form === 1 ? {} : { [FORM_ANNOTATION]: String(form) }
  const annotations = { ...metadata?.annotations, ...marks }
  // The operator's labels last: the selector must find the pods whatever the spec says.
  const labels = { ...metadata?.labels, ...buildLabels(cluster) }
  return { metadata: { ...(Object.keys(annotations).length > 0 && { annotations }), labels }, spec: pod }
}

/** The volumes, and where each is mounted. Everyone in the container may read them: there is one user, whose id is the image's. */
function buildVolumes(spec: ImClusterSpec, form: TemplateForm): (readonly [V1Volume, mountPath: string])[] {
  const volumes: (readonly [V1Volume, string])[] = []
  const { tls } = spec.listeners
  if (tls) volumes.push([{ name: 'tls', secret: { secretName: tls.secretName, defaultMode: 0o444 } }, TLS_DIRECTORY])
  const sources = hasSecretFiles(form) ? buildSecretFiles(spec) : []
  if (sources.length > 0)
    volumes.push([{ name: 'secrets', projected: { sources, defaultMode: 0o444 } }, SECRETS_DIRECTORY])
  return volumes
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

/** Over nodes, and as the spec says. Who says something of nodes, or nothing at all by an empty list, has it so. */
function buildSpread(
  cluster: ImCluster,
  wanted: readonly V1TopologySpreadConstraint[] | undefined,
  form: TemplateForm,
): V1TopologySpreadConstraint[] {
  const labelSelector = { matchLabels: buildSelector(cluster) }
  const given = (wanted ?? []).map((constraint) => Object.assign({ labelSelector }, constraint))
  const settled = form === 1 || given.length === 0 || given.some(({ topologyKey }) => topologyKey === NODE)
  if (wanted && settled) return given
  return [...given, { maxSkew: 1, topologyKey: NODE, whenUnsatisfiable: 'ScheduleAnyway', labelSelector }]
}

const NODE = 'kubernetes.io/hostname'
