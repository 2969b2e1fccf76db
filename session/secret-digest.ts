import { scrypt } from 'node:crypto'
import { promisify } from 'node:util'

/** The secret settings of a gateway by what they are for: what is changed together, in the order of the digest. */
export const secretSettings = {
  redis: ['IM_REDIS_URL'],
  nats: ['IM_NATS_USER', 'IM_NATS_PASSWORD', 'IM_NATS_TOKEN'],
  auth: ['IM_AUTH_SECRET', 'IM_AUTH_FORMER_SECRET'],
} as const
export type SecretGroup = keyof typeof secretSettings
export type SecretSetting = (typeof secretSettings)[SecretGroup][number]
export const secretGroups: readonly SecretGroup[] = ['redis', 'nats', 'auth']

/** Digests by group; of a group whose digest is not known yet there is none. */
export type SecretDigests = { readonly [group in SecretGroup]?: string | undefined }

/** So few that, of the passwords somebody tries out, every 16 millionth fits; and two secrets in use never meet by chance. */
const BYTES = 3

const derive = promisify<string, string, number, Buffer>(scrypt)

/**
 * A digest by which two who have some secrets see whether they have the same. It is slow on purpose and too short to find a
 * secret by it.
 *
 * @param values of the group's settings; empty or absent where there is none
 */
export async function digestSecrets(
  group: SecretGroup,
  keyPrefix: string,
  values: { readonly [setting in SecretSetting]?: string },
): Promise<string> {
  const ordered = secretSettings[group].map((setting) => values[setting] ?? '')
  return (await derive(JSON.stringify(ordered), `im-cluster ${group} ${keyPrefix}`, BYTES)).toString('base64url')
}
