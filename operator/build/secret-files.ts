import type { V1VolumeProjection } from '../../controller/kubernetes.ts'
import type { SecretGroup, SecretSetting } from '../../session/secret-digest.ts'
import type { ImClusterSpec } from '../api/imcluster.ts'

/** Where the gateway looks for its secrets by default. */
export const SECRETS_DIRECTORY = '/etc/im-cluster/secrets'

/** Where a former token key is looked for in the Secret of the present one. */
const FORMER_KEY = 'former'

/** A secret setting of the gateway, and where it is. */
interface SecretSource {
  readonly setting: SecretSetting
  readonly key: string
}

/** The Secret that a group of settings comes from. */
export interface SecretUse {
  readonly group: SecretGroup
  readonly name: string
  readonly sources: readonly SecretSource[]
}

/** The Secrets that gateways use, and for what. */
export function findSecretUses({ redis, nats, auth }: ImClusterSpec): SecretUse[] {
  const uses: SecretUse[] = []
  if (redis.urlSecretRef !== undefined) {
    const { name, key } = redis.urlSecretRef
    uses.push({ group: 'redis', name, sources: [{ setting: 'IM_REDIS_URL', key }] })
  }
  if (nats.credentialsSecretRef !== undefined) {
    const { name, type } = nats.credentialsSecretRef
    const token = [{ setting: 'IM_NATS_TOKEN', key: 'token' }] as const
    const login = [
      { setting: 'IM_NATS_USER', key: 'user' },
      { setting: 'IM_NATS_PASSWORD', key: 'password' },
    ] as const
    const sources = type === 'token' ? token : login
    uses.push({ group: 'nats', name, sources })
  }
  if (auth.secretRef !== undefined) {
    const { name, key, formerKey = FORMER_KEY } = auth.secretRef
    const sources = [
      { setting: 'IM_AUTH_SECRET', key },
      { setting: 'IM_AUTH_FORMER_SECRET', key: formerKey },
    ] as const
    uses.push({ group: 'auth', name, sources })
  }
  return uses
}

/**
 * The Secrets as files named like the settings. A missing one is told by the environment, which names it in the pod's status, and
 * keeps no volume from being mounted.
 */
export function buildSecretFiles(spec: ImClusterSpec): V1VolumeProjection[] {
  return findSecretUses(spec).map(({ name, sources }) => {
    return { secret: { name, items: sources.map(({ setting, key }) => ({ key, path: setting })), optional: true } }
  })
}
