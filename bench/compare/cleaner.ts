import { openSession } from './session-code.ts'
import type { DeadIncarnation } from './appender.ts'

/** The session/ of a checkout, to clean after a gateway. */
export interface Cleaner extends AsyncDisposable {
  /** The next pass of a cleanup, without the wait between the first and the last one. */
  pass(dead: DeadIncarnation): Promise<{ readonly ms: number; readonly removed: number; readonly finished: boolean }>
}

const OFFLINE_RETENTION_MS = 3600_000

export async function openCleaner(folder: string, redisUrl: string): Promise<Cleaner> {
  const session = await openSession(folder, redisUrl)
  return {
    async pass(dead) {
      const start = performance.now()
      const options = { graceMs: 0, offlineRetentionMs: OFFLINE_RETENTION_MS }
      const incarnation = { ...dead, host: '', startedAt: 0 }
      const { removed, finished } = await session.cleanIncarnation(session.redis, session.keys, incarnation, options)
      return { ms: performance.now() - start, removed, finished }
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  }
}
