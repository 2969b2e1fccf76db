import { setTimeout as delay } from 'node:timers/promises'
import type { Connection } from './net/connection.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Logger } from './logger.ts'
import type { GatewaySettings } from './settings.ts'

export const TICK_MS = 50

export type DrainSettings = Pick<GatewaySettings, 'drainRate' | 'drainJitterMs' | 'drainDeadlineMs'>

/**
 * Asks every client to go away, at a bounded rate, and waits until they have moved or the deadline passes. `hurry` cuts
 * the waiting short.
 *
 * @returns how many have not moved
 */
export async function drainConnections(
  dispatcher: Dispatcher,
  settings: DrainSettings,
  logger: Logger,
  hurry: AbortSignal,
): Promise<number> {
  const deadline = performance.now() + settings.drainDeadlineMs
  const ask = createAsking(settings)
  const toAsk: Connection[] = []
  logger.info({ connections: dispatcher.size }, 'draining')
  for (const { connection, login } of dispatcher.drain()) {
    void Promise.allSettled([login]).then(() => toAsk.push(connection))
  }
  while (dispatcher.size > 0 && performance.now() < deadline && !hurry.aborted) {
    ask(toAsk, Math.max(0, Math.round(deadline - performance.now())))
    await delay(TICK_MS)
  }
  if (dispatcher.size > 0) logger.warn({ connections: dispatcher.size }, 'clients did not move in time')
  return dispatcher.size
}

/** What asks, each TICK_MS, as many of those that wait as the rate allows, and takes them from the list. */
export function createAsking({ drainRate, drainJitterMs }: DrainSettings) {
  const perTick = (drainRate * TICK_MS) / 1000
  let allowance = 0
  return (waiting: Connection[], deadlineMs: number): void => {
    allowance = Math.min(allowance + perTick, waiting.length)
    const asked = waiting.splice(0, Math.floor(allowance))
    allowance -= asked.length
    for (const connection of asked) {
      const delayMs = Math.round(Math.random() * Math.min(drainJitterMs, deadlineMs / 2))
      connection.send({ type: 'goAway', delayMs, deadlineMs })
    }
  }
}
