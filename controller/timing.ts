import { RuntimeError } from './errors.ts'

/** The longest time that a timer of JavaScript can wait; a longer one would fire at once. */
const LONGEST_TIMER_MS = 2_147_483_647

/** A wait that grows with each failure in a row. */
export interface Backoff {
  readonly baseMs: number
  readonly maxMs: number
}

/**
 * The wait in milliseconds after so many failures in a row (from 1): doubled each time, capped, and the upper half of
 * it random, so that those who failed together do not come back together.
 */
export function backoffDelay(failures: number, { baseMs, maxMs }: Backoff): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 52))
  return full * (0.5 + Math.random() / 2)
}

/** `setTimeout` for any length: a wait longer than a timer can hold ends at that limit. */
export function startTimer(ms: number, callback: () => void): NodeJS.Timeout {
  return setTimeout(callback, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS))
}

/** Waits. Resolves with true when the time is over, with false as soon as the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false)
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const stop = (): void => {
    clearTimeout(timer)
    resolve(false)
  }
  const timer = startTimer(ms, () => {
    signal.removeEventListener('abort', stop)
    resolve(true)
  })
  signal.addEventListener('abort', stop, { once: true })
  return promise
}

/**
 * Waits for a promise, but no longer than the signal allows. What the promise does afterwards is ignored.
 *
 * @throws the signal's reason
 */
export async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(asError(signal.reason))
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/**
 * A signal that aborts when its time is over or its parent aborts. Disposing it frees the timer and the listener, which
 * `AbortSignal.any` with `AbortSignal.timeout` would hold until the time is over.
 */
export class Deadline implements Disposable {
  readonly #controller = new AbortController()
  readonly #parent: AbortSignal | undefined
  readonly #what: string
  #timer: NodeJS.Timeout | undefined
  #endsAt = 0
  #expired = false
  readonly #abort = (): void => {
    clearTimeout(this.#timer)
    this.#controller.abort(this.#parent?.reason)
  }

  constructor(ms: number, parent?: AbortSignal, what = 'the wait') {
    this.#parent = parent
    this.#what = what
    this.restart(ms)
    if (parent?.aborted === true) this.#abort()
    else parent?.addEventListener('abort', this.#abort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether the time was over, as against an abort of the parent. */
  get expired(): boolean {
    return this.#expired
  }

  get remainingMs(): number {
    return Math.max(0, this.#endsAt - performance.now())
  }

  /** Starts the time again, with another length. */
  restart(ms: number): void {
    clearTimeout(this.#timer)
    this.#endsAt = performance.now() + ms
    this.#timer = startTimer(ms, () => {
      this.#expired = true
      const message = `${this.#what} took longer than ${Math.round(ms)} ms`
      this.#controller.abort(new RuntimeError('DEADLINE_EXCEEDED', message, { retryable: true }))
    })
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#parent?.removeEventListener('abort', this.#abort)
  }
}

/** What was thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
