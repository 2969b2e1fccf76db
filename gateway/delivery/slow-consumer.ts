import type { Connection } from '../net/connection.ts'
import type { EncodedFrame } from '../net/encoded-frame.ts'
import type { Metrics } from '../metrics.ts'

/*
 * What happens to a client for which as many bytes wait as may (IM_MAX_BUFFERED_BYTES), or for which the gateway's memory has no
 * room: what is durable pauses, and goes on from the stream when it reads again; what is transient is dropped. One for which
 * nothing moves for IM_SLOW_CONSUMER_TIMEOUT_MS is closed, and its device gets the rest over another connection.
 */

/** Writes a transient message, or drops it. */
export function writeTransient(connection: Connection, frame: EncodedFrame, metrics: Metrics): void {
  if (connection.takes(frame.size)) {
    connection.sendEncoded(frame)
    metrics.delivered.inc('transient')
  } else {
    metrics.dropped.inc({ reason: connection.full ? 'slow_consumer' : 'memory' })
  }
}

/**
 * Durable delivery has paused as there is no room: sees to it that `flushed` of the connection is told, or that it is closed.
 *
 * @returns the timer that closes it, to be cleared when delivery goes on; undefined when only the gateway's memory is short, which
 *   is no fault of the client
 */
export function awaitReader(
  connection: Connection,
  { metrics, slowConsumerTimeoutMs }: { readonly metrics: Metrics; readonly slowConsumerTimeoutMs: number },
): NodeJS.Timeout | undefined {
  if (connection.full) metrics.slowPauses.inc()
  else metrics.leftToInbox.inc({ by: 'delivery' })
  if (connection.waiting) return setTimeout(() => connection.close('slow_consumer'), slowConsumerTimeoutMs)
  // Nothing waits, so that no end of a write would be told.
  connection.awaitRoom()
  return undefined
}

/** Whether delivery that has paused goes on, now that something has left or there may be room. */
export function mayGoOn(connection: Connection): boolean {
  return !connection.full
}
