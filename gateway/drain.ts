import { setTimeout as delay } from 'node:timers/promises'
import type { Connection } from './connection.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Logger } from './logger.ts'
import type { GatewaySettings } from './settings.ts'

const TICK_MS = 50

/**
 * Asks every client to go away, at a bounded rate, and waits until they have moved or the deadline passes. `hurry` cuts
 * the waiting short.
 *
 * @returns how many have not moved
 */
export async function drainConnections(
  dispatcher: Dispatcher,
  settings: GatewaySettings,
  logger: Logger,
  hurry: AbortSignal,
): Promise<number> {
  const deadline = performance.now() + settings.drainDeadlineMs
  const perTick = (settings.drainRate * TICK_MS) / 1000
  const toAsk: Connection[] = []
  logger.info({ connections: dispatcher.size }, 'draining')
  for (const { connection, login } of dispatcher.drain()) {
    void Promise.allSettled([login]).then(() => toAsk.push(connection))
  }
  let asked = 0
  let allowance = 0
  while (dispatcher.size > 0 && performance.now() < deadline && !hurry.aborted) {
    allowance = Math.min(allowance + perTick, toAsk.length)
    const deadlineMs = Math.max(0, Math.round(deadline - performance.now()))
    for (const connection of toAsk.slice(asked, Math.floor(allowance))) {
      const delayMs = Math.round(Math.random() * Math.min(settings.drainJitterMs, deadlineMs / 2))
      connection.send({ type: 'goAway', delayMs, deadlineMs })
    }
    asked = Math.floor(allowance)
    await delay(TICK_MS)
  }
  if (dispatcher.size > 0) logger.warn({ connections: dispatcher.size }, 'clients did not move in time')
  return dispatcher.size
}
