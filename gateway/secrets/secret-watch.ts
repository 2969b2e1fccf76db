import { join } from 'node:path'
import { secretGroups, secretSettings, type SecretGroup } from '../../session/secret-digest.ts'
import { FileWatch } from './file-watch.ts'
import type { Logger } from '../logger.ts'
import { readSecretFiles, secretNames } from './secret-files.ts'
import { withFiles, type Secrets, type SecretValues } from './secrets.ts'
import type { Troubles } from '../troubles.ts'

/** For each group: makes other values what is used, or rejects with the reason why that cannot be. */
export type SecretUsers = Readonly<Record<SecretGroup, (values: SecretValues, stop: AbortSignal) => Promise<void>>>

/**
 * Reads secrets again when their files change, and takes what can be used. What cannot is told, the one before stays, and it is
 * tried again: the server that it is for may be changed later than the file.
 */
export class SecretWatch implements AsyncDisposable {
  readonly #directory: string
  readonly #secrets: Secrets
  readonly #users: SecretUsers
  readonly #troubles: Troubles
  readonly #logger: Logger
  readonly #watch: FileWatch
  readonly #stop = new AbortController()

  constructor(directory: string, secrets: Secrets, users: SecretUsers, troubles: Troubles, logger: Logger) {
    this.#directory = directory
    this.#secrets = secrets
    this.#users = users
    this.#troubles = troubles
    this.#logger = logger
    const files = secretNames.map((name) => join(directory, name))
    // Unknown: they may have changed since the start read them.
    this.#watch = new FileWatch(files, '', () => this.#look())
  }

  async #look(): Promise<boolean> {
    const problems: string[] = []
    try {
      const wanted = withFiles(this.#secrets.inUse, await readSecretFiles(this.#directory))
      for (const group of secretGroups) {
        if (!this.#secrets.uses(group, wanted)) problems.push(...(await this.#take(group, wanted)))
      }
    } catch (error) {
      problems.push(messageOf(error))
    }
    this.#troubles.report('SecretUnusable', problems.length === 0 ? undefined : problems.join('; '))
    return problems.length === 0
  }

  async #take(group: SecretGroup, wanted: SecretValues): Promise<string[]> {
    const settings = secretSettings[group].join(', ')
    try {
      await this.#users[group](wanted, this.#stop.signal)
      this.#secrets.use(group, wanted)
      this.#logger.info({ settings }, 'a secret was read again, and is used from now on')
      return []
    } catch (error) {
      return [`${settings} cannot be changed: ${messageOf(error)}; what was there before stays in use`]
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#watch[Symbol.asyncDispose]()
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
