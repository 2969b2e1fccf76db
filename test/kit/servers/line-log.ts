/** The newest entries of a growing log, and a way to wait for one. */
export interface LineLog<Entry> {
  readonly entries: readonly Entry[]
  add(entry: Entry): void
  /** No more entries will come: whoever waits is rejected with `reason()`. */
  end(reason: () => Error): void
  /** Resolves with the first entry, kept or future, that satisfies `predicate`; rejects at the deadline or at the end. */
  waitFor(predicate: (entry: Entry) => boolean, timeoutMs: number, describe: (what: string) => Error): Promise<Entry>
}

/** A log that keeps its newest `limit` entries. */
export function createLineLog<Entry>(limit: number): LineLog<Entry> {
  const entries: Entry[] = []
  const waiting = new Set<{ take(entry: Entry): void; fail(error: Error): void }>()
  let ended: (() => Error) | undefined
  return {
    entries,
    add(entry) {
      entries.push(entry)
      if (entries.length > limit) entries.shift()
      for (const waiter of waiting) waiter.take(entry)
    },
    end(reason) {
      ended = reason
      for (const waiter of waiting) waiter.fail(reason())
    },
    waitFor(predicate, timeoutMs, describe) {
      const found = entries.find((entry) => predicate(entry))
      if (found !== undefined) return Promise.resolve(found)
      if (ended) return Promise.reject(ended())
      const { promise, resolve, reject } = Promise.withResolvers<Entry>()
      const waiter = {
        take(entry: Entry) {
          if (predicate(entry)) resolve(entry)
        },
        fail: reject,
      }
      waiting.add(waiter)
      const timer = setTimeout(() => reject(describe(`printed no such line within ${timeoutMs} ms`)), timeoutMs)
      return promise.finally(() => {
        clearTimeout(timer)
        waiting.delete(waiter)
      })
    },
  }
}
