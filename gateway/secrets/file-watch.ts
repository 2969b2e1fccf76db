import { stat } from 'node:fs/promises'

/** How often the files are looked at. Polling also sees the link swap by which Kubernetes updates a Secret. */
const POLL_MS = 1_000
/** How soon what could not be finished is tried again. */
const AGAIN_MS = 2_000

/** Tells when some files are others than before. Files may come and go. Disposing waits for what it began. */
export class FileWatch implements AsyncDisposable {
  readonly #files: readonly string[]
  readonly #changed: () => Promise<boolean>
  readonly #timer: NodeJS.Timeout
  #version: string
  #againAt = Infinity
  #looking: Promise<void> | undefined

  /**
   * @param version of what is known of the files, from `versionOf`: taken before they were read, so that a change in the
   *   middle is seen
   * @param changed never called twice at once; false when something is left to do, and it is called again soon. Must not reject
   */
  constructor(files: readonly string[], version: string, changed: () => Promise<boolean>) {
    this.#files = files
    this.#version = version
    this.#changed = changed
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    }, POLL_MS).unref()
  }

  async #look(): Promise<void> {
    const version = await versionOf(this.#files)
    if (version === this.#version && performance.now() < this.#againAt) return
    this.#version = version
    this.#againAt = (await this.#changed()) ? Infinity : performance.now() + AGAIN_MS
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }
}

/** Another text for other files, also for files that came or went. */
export async function versionOf(files: readonly string[]): Promise<string> {
  const stats = await Promise.all(files.map((file) => stat(file, { bigint: true }).catch(() => undefined)))
  return stats.map((found) => (found ? `${found.ino}:${found.mtimeNs}:${found.size}` : 'absent')).join(' ')
}
