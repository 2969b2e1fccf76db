import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { secretSettings, type SecretSetting } from '../../session/secret-digest.ts'
import { GatewayError } from '../errors.ts'

/** The settings that are secret, by the names of their files. */
export const secretNames: readonly SecretSetting[] = Object.values(secretSettings).flat()

/**
 * Reads the files of a directory that are named like secret settings, byte for byte. What is absent or empty says nothing, but for the
 * former token key: where there is a key and no former one, there is none.
 *
 * @throws GatewayError SECRET_UNREADABLE
 */
export async function readSecretFiles(directory: string): Promise<Partial<Record<SecretSetting, string>>> {
  const read: Partial<Record<SecretSetting, string>> = {}
  for (const name of secretNames) {
    const value = await readFile(join(directory, name), 'utf8').catch((cause: unknown) => {
      const { code } = cause as { code?: unknown }
      if (code === 'ENOENT' || code === 'ENOTDIR') return ''
      const message = `cannot read ${join(directory, name)}: ${String(code)}; see IM_SECRETS_DIRECTORY`
      throw new GatewayError('SECRET_UNREADABLE', message, { cause, retryable: false })
    })
    if (value !== '') read[name] = value
  }
  if (read.IM_AUTH_SECRET !== undefined) read.IM_AUTH_FORMER_SECRET ??= ''
  return read
}
