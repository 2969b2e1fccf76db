import type { V1EnvVar, V1EnvVarSource } from '../../controller/kubernetes.ts'
import { containerPorts } from '../api/constants.ts'
import type { ImClusterSpec } from '../api/imcluster.ts'

/** Where the Secret of `listeners.tls` is mounted: as a directory, so that the kubelet renews it in place. */
export const TLS_DIRECTORY = '/etc/im-cluster/tls'

/** A value, or where Kubernetes finds it. Nothing leaves the gateway to its own default. */
type Value = string | number | V1EnvVarSource | undefined

/**
 * Where each setting of the gateway comes from. Secrets are only referred to. A setting that the spec does not have is
 * left out: its default is that of the gateway's image, so that neither a new operator nor a new CRD changes a pod.
 */
const sources: Readonly<Record<string, (spec: ImClusterSpec) => Value>> = {
  IM_BROKER_ID: () => podField('metadata.name'),
  IM_BROKER_HOST: () => podField('status.podIP'),
  IM_POD_UID: () => podField('metadata.uid'),
  IM_REDIS_URL: ({ redis }) => (redis.urlSecretRef ? secretKey(redis.urlSecretRef) : redis.url),
  IM_KEY_PREFIX: ({ redis }) => redis.keyPrefix,
  IM_REDIS_TIMEOUT_MS: ({ redis }) => milliseconds(redis.timeoutSeconds),
  IM_NATS_SERVERS: ({ nats }) => nats.servers.join(','),
  IM_NATS_USER: ({ nats }) => natsCredential(nats, 'userPassword', 'user'),
  IM_NATS_PASSWORD: ({ nats }) => natsCredential(nats, 'userPassword', 'password'),
  IM_NATS_TOKEN: ({ nats }) => natsCredential(nats, 'token', 'token'),
  IM_SUBJECT_PREFIX: ({ nats }) => nats.subjectPrefix,
  IM_TCP_PORT: () => containerPorts.tcp,
  IM_WS_PORT: () => containerPorts.websocket,
  IM_ADMIN_PORT: () => containerPorts.admin,
  IM_TLS_CERT_FILE: ({ listeners }) => listeners.tls && `${TLS_DIRECTORY}/tls.crt`,
  IM_TLS_KEY_FILE: ({ listeners }) => listeners.tls && `${TLS_DIRECTORY}/tls.key`,
  IM_AUTH_MODE: ({ auth }) => auth.mode,
  IM_AUTH_SECRET: ({ auth }) => auth.secretRef && secretKey(auth.secretRef),
  IM_AUTH_JWKS_URL: ({ auth }) => auth.jwksUrl,
  IM_AUTH_ISSUER: ({ auth }) => auth.issuer,
  IM_AUTH_AUDIENCE: ({ auth }) => auth.audience,
  IM_AUTH_USER_CLAIM: ({ auth }) => auth.userClaim,
  IM_AUTH_APP_CLAIM: ({ auth }) => auth.appClaim,
  IM_AUTH_APPS: ({ auth }) => auth.apps?.join(','),
  IM_DEVICE_POLICY: ({ devicePolicy }) => formatDevicePolicy(devicePolicy),
  IM_MAX_DEVICES: ({ maxDevices }) => maxDevices,
  IM_MAX_CONNECTIONS: ({ connections }) => connections?.max,
  IM_MAX_PENDING_LOGINS: ({ connections }) => connections?.maxPendingLogins,
  IM_MAX_FRAME_BYTES: ({ connections }) => connections?.maxFrameBytes,
  IM_MAX_IN_FLIGHT_SENDS: ({ connections }) => connections?.maxInFlightSends,
  IM_MAX_FRAMES_PER_SECOND: ({ connections }) => connections?.maxFramesPerSecond,
  IM_MAX_BUFFERED_BYTES: ({ connections }) => connections?.maxBufferedBytes,
  IM_MEMORY_BUDGET_BYTES: ({ connections }) => connections?.memoryBudgetBytes,
  IM_LOGIN_TIMEOUT_MS: ({ connections }) => milliseconds(connections?.loginTimeoutSeconds),
  IM_HEARTBEAT_MS: ({ connections }) => milliseconds(connections?.heartbeatSeconds),
  IM_IDLE_TIMEOUT_MS: ({ connections }) => milliseconds(connections?.idleTimeoutSeconds),
  IM_FRAME_TIMEOUT_MS: ({ connections }) => milliseconds(connections?.frameTimeoutSeconds),
  IM_SLOW_CONSUMER_TIMEOUT_MS: ({ connections }) => milliseconds(connections?.slowConsumerTimeoutSeconds),
  IM_INBOX_MAX_LENGTH: ({ inbox }) => inbox?.maxLength,
  IM_INBOX_RETENTION_MS: ({ inbox }) => milliseconds(inbox?.retentionSeconds),
  IM_CURSOR_RETENTION_MS: ({ inbox }) => milliseconds(inbox?.cursorRetentionSeconds),
  IM_INBOX_FORMAT: ({ inbox }) => inbox?.format,
  IM_DEDUPE_MS: ({ inbox }) => milliseconds(inbox?.dedupeSeconds),
  IM_LEASE_MS: ({ directory }) => milliseconds(directory?.leaseSeconds),
  IM_VERIFY_ROUND_MS: ({ directory }) => milliseconds(directory?.verifyRoundSeconds),
  IM_ROUTE_CACHE_MS: ({ directory }) => milliseconds(directory?.routeCacheSeconds),
  IM_OFFLINE_RETENTION_MS: ({ directory }) => milliseconds(directory?.offlineRetentionSeconds),
  IM_DRAIN_RATE: ({ drain }) => drain.rate,
  IM_DRAIN_DEADLINE_MS: ({ drain }) => milliseconds(drain.deadlineSeconds),
  IM_DRAIN_JITTER_MS: ({ drain }) => milliseconds(drain.jitterSeconds),
  IM_LOG_LEVEL: ({ logLevel }) => logLevel,
}

/**
 * Settings of the gateway that no variable sets: all addresses of a pod are right for it; its secrets are where it looks for them;
 * and of a former token key the file there tells.
 */
export const settingsLeftToGateway: readonly string[] = [
  'IM_LISTEN_HOST',
  'IM_SECRETS_DIRECTORY',
  'IM_AUTH_FORMER_SECRET',
]

/** The settings that `buildGatewayEnvironment` can set. */
export const mappedSettings: readonly string[] = Object.keys(sources)

/** Builds the environment of the gateway's container. */
export function buildGatewayEnvironment(spec: ImClusterSpec): V1EnvVar[] {
  return Object.entries(sources).flatMap(([name, source]) => {
    const value = source(spec)
    // An empty variable is the same as none.
    if (value === undefined || value === '') return []
    return typeof value === 'object' ? { name, valueFrom: value } : { name, value: String(value) }
  })
}

/** The numbers that frames and Redis have for client types. */
const clientTypes = { api: 0, web: 1, ios: 2, android: 3, windows: 4, macos: 5 } as const

function formatDevicePolicy({ preset, classes }: ImClusterSpec['devicePolicy']): string | undefined {
  if (classes === undefined) return preset
  const numbered = classes.map(({ name, clientTypes: types, limit }) => {
    return { name, clientTypes: types.map((type) => clientTypes[type]), limit }
  })
  return JSON.stringify({ classes: numbered })
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000
}

function podField(fieldPath: string): V1EnvVarSource {
  return { fieldRef: { fieldPath } }
}

function secretKey({ name, key }: { readonly name: string; readonly key: string }): V1EnvVarSource {
  return { secretKeyRef: { name, key } }
}

type CredentialsType = NonNullable<ImClusterSpec['nats']['credentialsSecretRef']>['type']

function natsCredential(nats: ImClusterSpec['nats'], type: CredentialsType, key: string): V1EnvVarSource | undefined {
  const ref = nats.credentialsSecretRef
  return ref?.type === type ? secretKey({ name: ref.name, key }) : undefined
}
