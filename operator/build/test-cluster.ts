import { applyDefaults, readCustomResource } from '../api/crd-schema.ts'
import { imClusters } from '../api/constants.ts'
import type { ImCluster, ImClusterSpec } from '../api/imcluster.ts'

/** What a user writes: defaults may be left out. */
type Written<T> = T extends readonly unknown[] ? T : T extends object ? { readonly [K in keyof T]?: Written<T[K]> } : T

const { schema } = readCustomResource()
const minimal: Written<ImClusterSpec> = {
  image: 'im-cluster:test',
  redis: { url: 'redis://redis:6379' },
  nats: { servers: ['nats://nats:4222'] },
  auth: { mode: 'none' },
}

/** An ImCluster as the API server returns it, of the least spec with these fields set. */
export function buildTestCluster(written: Written<ImClusterSpec> = {}, name = 'im'): ImCluster {
  const spec = applyDefaults(schema.properties?.['spec'] ?? {}, { ...minimal, ...written }) as ImClusterSpec
  const { apiVersion, kind } = imClusters
  const metadata = { name, namespace: 'chat', uid: '11111111-2222-3333-4444-555555555555', generation: 1 }
  return { apiVersion, kind, metadata, spec }
}

/** A spec in which every optional part is set. */
export const fullSpec: Written<ImClusterSpec> = {
  replicas: 4,
  image: 'registry.example/im-cluster:1',
  imagePullSecrets: [{ name: 'pull' }],
  listeners: { tcp: { port: 443 }, websocket: { port: 80 }, tls: { secretName: 'tls' } },
  service: {
    type: 'LoadBalancer',
    annotations: { 'example.com/lb': 'fast' },
    ipFamilyPolicy: 'SingleStack',
    nodePorts: { tcp: 30443, websocket: 30080 },
    externalTrafficPolicy: 'Local',
    loadBalancerClass: 'example.com/lb',
  },
  redis: { urlSecretRef: { name: 'redis', key: 'url' }, keyPrefix: 'chat:', timeoutSeconds: 2 },
  nats: {
    servers: ['nats://a:4222', 'tls://b:4222'],
    credentialsSecretRef: { name: 'nats' },
    subjectPrefix: 'chat.',
  },
  auth: {
    mode: 'secret',
    secretRef: { name: 'auth', key: 'secret' },
    issuer: 'https://id.example',
    audience: 'im',
    userClaim: 'uid',
    appClaim: 'tenant',
    apps: [1, 7],
  },
  devicePolicy: {
    classes: [
      { name: 'phone', clientTypes: ['ios', 'android'], limit: 1 },
      { name: 'rest', clientTypes: ['api', 'web', 'windows', 'macos'], limit: 3 },
    ],
  },
  connections: { max: 5_000, heartbeatSeconds: 20, idleTimeoutSeconds: 50 },
  inbox: { retentionSeconds: 86_400 },
  directory: { leaseSeconds: 9 },
  logLevel: 'debug',
  drain: { rate: 50, deadlineSeconds: 60, jitterSeconds: 0 },
  terminationGracePeriodSeconds: 90,
  resources: { requests: { cpu: '500m', memory: '512Mi' }, limits: { memory: '1Gi' } },
  podTemplate: {
    metadata: { labels: { team: 'chat' }, annotations: { 'example.com/scrape': 'true' } },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'chat', operator: 'Exists', effect: 'NoSchedule' }],
    topologySpreadConstraints: [{ maxSkew: 2, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }],
    priorityClassName: 'system-cluster-critical',
    securityContext: { runAsUser: 1000, runAsGroup: 1000 },
  },
  podDisruptionBudget: { maxUnavailable: '25%' },
  networkPolicy: { enabled: true },
}
