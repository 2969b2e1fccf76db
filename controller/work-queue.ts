import { RuntimeError } from './errors.ts'
import { Deadline, asError, backoffDelay, orAbort, startTimer, type Backoff } from './timing.ts'

/** What a reconcile may ask for: to be called again later, also when nothing happens. */
export interface ReconcileResult {
  readonly requeueAfterMs?: number
}

/** Told what the queue does; for metrics and logs. Must not throw. */
export interface WorkQueueHooks {
  /** Keys that wait for a worker, each time their number changes. */
  depth?(waiting: number): void
  started?(key: string, waitedMs: number): void
  finished?(key: string, durationMs: number, error?: Error): void
  /** A reconcile went on beyond its deadline: it holds its key and worker until it ends. */
  overdue?(key: string): void
}

export interface WorkQueueOptions {
  /**
   * Brings one thing to the state it should have. Throwing means: again, later. It must heed the signal, which aborts at
   * the deadline and when the queue stops.
   */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult | undefined>
  readonly concurrency?: number
  /** Deadline of one reconcile. */
  readonly deadlineMs?: number
  readonly backoff?: Backoff
  /** How long `drain` and a stop wait for running reconciles. */
  readonly shutdownMs?: number
  readonly hooks?: WorkQueueHooks
}

interface Delayed {
  readonly dueAt: number
  readonly timer: NodeJS.Timeout
}

/**
 * A queue of keys with client-go's semantics: a key waits at most once however often it is added, is never worked on
 * twice at once, and one added while it is worked on is worked on again.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #concurrency: number
  readonly #hooks: WorkQueueHooks
  readonly #backoff: Backoff
  /** Keys that wait, oldest first, and since when. */
  readonly #waiting = new Map<string, number>()
  readonly #running = new Map<string, Promise<void>>()
  /** Added while running. */
  readonly #again = new Set<string>()
  readonly #delayed = new Map<string, Delayed>()
  readonly #failures = new Map<string, number>()
  readonly #stop = new AbortController()
  #state: 'idle' | 'running' | 'closed' = 'idle'

  constructor(options: WorkQueueOptions) {
    this.#options = options
    this.#concurrency = options.concurrency ?? 4
    this.#hooks = options.hooks ?? {}
    this.#backoff = options.backoff ?? { baseMs: 200, maxMs: 60_000 }
  }

  /** Keys that wait for a worker. */
  get depth(): number {
    return this.#waiting.size
  }

  /** Keys that are worked on. */
  get active(): number {
    return this.#running.size
  }

  /** Adds a key, to be worked on as soon as possible. Ignored when the queue has stopped. */
  add(key: string): void {
    if (this.#state === 'closed' || this.#waiting.has(key)) return
    if (this.#running.has(key)) {
      this.#again.add(key)
      return
    }
    this.#waiting.set(key, performance.now())
    this.#hooks.depth?.(this.depth)
    this.#dispatch()
  }

  /** Adds a key after a time in milliseconds. Of several such times the earliest counts. */
  addAfter(key: string, ms: number): void {
    if (this.#state === 'closed') return
    if (ms <= 0) {
      this.add(key)
      return
    }
    const dueAt = performance.now() + ms
    const former = this.#delayed.get(key)
    if (former !== undefined && former.dueAt <= dueAt) return
    clearTimeout(former?.timer)
    const timer = startTimer(ms, () => {
      this.#delayed.delete(key)
      this.add(key)
    })
    this.#delayed.set(key, { dueAt, timer })
  }

  /** Adds a key after its back-off, which doubles with each call until `forget`; not sooner than `leastMs`. */
  addRateLimited(key: string, leastMs = 0): void {
    const failures = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, failures)
    this.addAfter(key, Math.max(leastMs, backoffDelay(failures, this.#backoff)))
  }

  /** Starts a key's back-off anew. A successful reconcile does it. */
  forget(key: string): void {
    this.#failures.delete(key)
  }

  /**
   * Works until the signal aborts or `drain` has ended. An abort also aborts the running reconciles, which are awaited
   * for `shutdownMs`. Can be called once.
   */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#state !== 'idle') throw new RuntimeError('CONFIG_INVALID', 'the queue ran before', { retryable: false })
    this.#state = 'running'
    const stop = (): void => this.#stop.abort(signal.reason)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    const stopped = Promise.withResolvers<void>()
    if (this.#stop.signal.aborted) stopped.resolve()
    else this.#stop.signal.addEventListener('abort', () => stopped.resolve(), { once: true })
    try {
      this.#dispatch()
      await stopped.promise
      await this.#settle()
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** Takes no more keys, lets the running reconciles end for `shutdownMs`, aborts the rest, and ends `run`. */
  async drain(): Promise<void> {
    await this.#settle()
    this.#stop.abort(new Error('the queue was drained'))
  }

  async #settle(): Promise<void> {
    this.#state = 'closed'
    for (const { timer } of this.#delayed.values()) clearTimeout(timer)
    this.#delayed.clear()
    this.#waiting.clear()
    this.#again.clear()
    using deadline = new Deadline(this.#options.shutdownMs ?? 10_000)
    // Past the deadline whoever ignores its signal is left behind; its key is never given to another.
    await orAbort(Promise.all(this.#running.values()), deadline.signal).catch(() => undefined)
  }

  #dispatch(): void {
    if (this.#state !== 'running' || this.#stop.signal.aborted) return
    for (const [key, since] of this.#waiting) {
      if (this.#running.size >= this.#concurrency) return
      this.#waiting.delete(key)
      this.#hooks.depth?.(this.depth)
      this.#hooks.started?.(key, performance.now() - since)
      this.#running.set(key, this.#work(key))
    }
  }

  async #work(key: string): Promise<void> {
    const started = performance.now()
    const error = await this.#reconcile(key)
    this.#running.delete(key)
    this.#hooks.finished?.(key, performance.now() - started, error)
    if (this.#again.delete(key)) this.add(key)
    this.#dispatch()
  }

  async #reconcile(key: string): Promise<Error | undefined> {
    const { reconcile, deadlineMs = 60_000 } = this.#options
    using deadline = new Deadline(deadlineMs, this.#stop.signal, `the reconcile of ${key}`)
    deadline.signal.addEventListener('abort', () => deadline.expired && this.#hooks.overdue?.(key), { once: true })
    try {
      // In a later turn, so that whoever added the key goes on first.
      await Promise.resolve()
      const result = await reconcile(key, deadline.signal)
      this.forget(key)
      if (result?.requeueAfterMs !== undefined) this.addAfter(key, result.requeueAfterMs)
      return undefined
    } catch (cause) {
      this.addRateLimited(key, wishOf(cause))
      if (!deadline.expired) return asError(cause)
      const message = `the reconcile of ${key} took longer than ${deadlineMs} ms: ${asError(cause).message}`
      return new RuntimeError('RECONCILE_OVERDUE', message, { cause, retryable: true })
    }
  }
}

/** How long an error asks to wait, in milliseconds, as `ApiError` may. */
function wishOf(error: unknown): number {
  const wish = (error as { readonly retryAfterMs?: unknown } | null)?.retryAfterMs
  return typeof wish === 'number' ? wish : 0
}
