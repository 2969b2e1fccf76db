import { scrypt } from 'node:crypto'
import { promisify } from 'node:util'

/** What is secret about a gateway, by what it is for: a Secret of Kubernetes changes all of a group together. */
export const secretGroups = ['redis', 'nats', 'auth'] as const
export type SecretGroup = (typeof secretGroups)[number]

/** Digests by group; of a group whose digest is not known yet there is none. */
export type SecretDigests = { readonly [group in SecretGroup]?: string | undefined }

/** So few that, of the passwords somebody tries out, every 16 millionth fits; and two secrets in use never meet by chance. */
const BYTES = 3

const derive = promisify<string, string, number, Buffer>(scrypt)

/**
 * A digest by which two who have some secrets see whether they have the same. It is slow on purpose and too short to find a
 * secret by it.
 *
 * @param values in the group's order: the URL of Redis; user, password and token of NATS; the token key and the former one.
 *   Empty where there is none
 */
export async function digestSecrets(group: SecretGroup, keyPrefix: string, values: readonly string[]): Promise<string> {
  return (await derive(JSON.stringify(values), `im-cluster ${group} ${keyPrefix}`, BYTES)).toString('base64url')
}
