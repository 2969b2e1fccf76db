/** Runs calls with the same key one after another, in the order they came. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>()

  /** Resolves or rejects as the call does. */
  async run<T>(key: string, call: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key)
    const { promise: tail, resolve: release } = Promise.withResolvers<void>()
    this.#tails.set(key, tail)
    try {
      await before
      return await call()
    } finally {
      release()
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }

  /** Keys with a call under way. */
  get size(): number {
    return this.#tails.size
  }
}
