/** The longest delay that timers take; a longer one would fire at once. */
export const MAX_DELAY_MS = 2 ** 31 - 1

/** Resolves after `delayMs` milliseconds, or as soon as the signal is aborted. Never rejects. */
export function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, delayMs)
    signal.addEventListener('abort', done)
  })
}

/**
 * Calls `act` after `delayMs` milliseconds, once all that came meanwhile has been read: after a process stood still its
 * timers come first. Returns what cancels it.
 */
export function startDeadline(delayMs: number, act: () => void): () => void {
  let timer = setTimeout(() => (timer = setTimeout(act, 0)), delayMs)
  return () => clearTimeout(timer)
}

/**
 * Settles as `promise` does, unless the deadline or the signal comes first: then it rejects with what `expired` or
 * `aborted` builds. The promise itself goes on.
 */
export function within<Value>(
  promise: Promise<Value>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  expired: () => Error,
  aborted: (reason: unknown) => Error,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      act()
    }
    const onAbort = () => settle(() => reject(aborted(signal?.reason)))
    const timer = setTimeout(() => settle(() => reject(expired())), timeoutMs)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    promise.then(
      (value) => settle(() => resolve(value)),
      (error: Error) => settle(() => reject(error)),
    )
  })
}
