import { setTimeout as delay } from 'node:timers/promises'

/** How long anything that a test waits for may take, in milliseconds: far more than it does on a slow machine. */
export const PATIENCE_MS = 60_000

const POLL_MS = 20

/**
 * What the promise resolves with.
 *
 * @throws Error that names `what` when that takes too long
 */
export async function inTime<Value>(what: string, promise: Promise<Value>, timeoutMs = PATIENCE_MS): Promise<Value> {
  const over = new AbortController()
  const late = delay(timeoutMs, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${what}: not within ${timeoutMs} ms`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    over.abort()
    late.catch(() => undefined)
  }
}

/**
 * Asks again and again until `probe` returns something other than undefined and false, and resolves with that. For what
 * announces itself by no event, such as keys in Redis. While `probe` rejects the answer counts as no.
 *
 * @throws Error that names `what` and the last answer
 */
export async function until<Value>(
  what: string,
  probe: () => Promise<Value | undefined | false> | Value | undefined | false,
  timeoutMs = PATIENCE_MS,
): Promise<Value> {
  const deadline = performance.now() + timeoutMs
  let failure: unknown
  for (;;) {
    try {
      const value = await probe()
      if (value !== undefined && value !== false) return value
    } catch (error) {
      failure = error
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: failure })
    await delay(POLL_MS)
  }
}
