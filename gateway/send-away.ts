import { setTimeout as delay } from 'node:timers/promises'
import type { Dispatcher } from './dispatcher.ts'
import { createAsking, TICK_MS, type DrainSettings } from './drain.ts'
import type { Listeners } from './listeners.ts'
import type { Logger } from './logger.ts'

const REOPEN_MS = 1_000

/**
 * Asks every client to go away, at the rate of a drain, again and again until the signal aborts, and lets nobody in meanwhile.
 * Nobody who is in is closed: who does not go stays.
 *
 * The ports are closed, as every balancer then tries another gateway at once. An answer that sends clients elsewhere would
 * bring them back: who refuses has the fewest connections, and gets all that come where those are counted.
 */
export async function sendAway(
  dispatcher: Dispatcher,
  listeners: Pick<Listeners, 'close' | 'listen'>,
  settings: DrainSettings,
  logger: Logger,
  { until, end }: { readonly until: AbortSignal; readonly end: AbortSignal },
): Promise<void> {
  const { drainDeadlineMs: deadlineMs } = settings
  logger.warn({ connections: dispatcher.size }, 'cut off: sending clients to other gateways')
  dispatcher.refuseUntil(until)
  listeners.close()
  while (!until.aborted) {
    const ask = createAsking(settings)
    const toAsk = dispatcher.loggedIn
    const again = performance.now() + deadlineMs
    while (!until.aborted && (toAsk.length > 0 || performance.now() < again)) {
      ask(toAsk, deadlineMs)
      await delay(TICK_MS)
    }
  }
  logger.info({ connections: dispatcher.size }, 'no longer sending clients to other gateways')
  while (!end.aborted) {
    try {
      await listeners.listen()
      return
    } catch (err) {
      logger.error({ err }, 'the ports cannot be opened again; trying again')
      await delay(REOPEN_MS, undefined, { signal: end }).catch(() => undefined)
    }
  }
}
