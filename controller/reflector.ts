import { type KubeApi, type Selection, type WatchEvent } from './api.ts'
import { RuntimeError, isApiError } from './errors.ts'
import { keyOf, type KubeObject, type Resource } from './resource.ts'
import { Store, type StoreReader } from './store.ts'
import { Deadline, asError, backoffDelay, orAbort, pause } from './timing.ts'

/** Told of every change of the store, after it. Called in order, never at the same time. */
export interface ReflectorHandlers<T> {
  added?(object: T): void
  updated?(object: T, former: T): void
  /** The last state known, which may be older than the very last. */
  deleted?(object: T): void
}

export interface ReflectorOptions<T extends KubeObject> extends Selection {
  readonly api: KubeApi
  readonly resource: Resource<T>
  readonly store?: Store<T>
  readonly handlers?: ReflectorHandlers<T>
  /** Cuts an object down before it is stored. */
  readonly transform?: (object: T) => T
  /** Told of every failure: of the API server (which is tried again), or HANDLER_FAILED of a handler or transform. */
  readonly onError: (error: Error) => void
  /** A watch lasts this long, up to half more; with 5 s more it is also how long a dead connection can hide. */
  readonly watchSeconds?: number
}

const BACKOFF = { baseMs: 100, maxMs: 3_000 }
/** After so many refusals in a row the resource version itself is doubted, as after etcd was restored from a backup. */
const REFUSALS_BEFORE_RELIST = 5
/** A watch that ends sooner and without an event counts as failed, or one that always does would be a busy loop. */
const SHORT_WATCH_MS = 1_000

/**
 * Mirrors a kind of objects into a store: a list, then watches one after another.
 *
 * client-node's informer stays dead after an error, ends watches that are silent for 30 s and loses exceptions of
 * handlers; this one goes on until its signal aborts, whatever happens.
 */
export class Reflector<T extends KubeObject> {
  readonly store: StoreReader<T>
  readonly #options: ReflectorOptions<T>
  readonly #store: Store<T>
  readonly #synced = Promise.withResolvers<void>()
  #resourceVersion = ''
  #failures = 0
  #refusals = 0
  #hasSynced = false
  #lastError: Error | undefined

  constructor(options: ReflectorOptions<T>) {
    this.#options = options
    this.#store = options.store ?? new Store<T>()
    this.store = this.#store
  }

  /** Whether the store has held a whole list. */
  get hasSynced(): boolean {
    return this.#hasSynced
  }

  /** What keeps the store from being current now, if anything does. */
  get lastError(): Error | undefined {
    return this.#lastError
  }

  /**
   * Waits until the store has held a whole list.
   *
   * @throws RuntimeError NOT_SYNCED with the last failure, when the time is over; the signal's reason
   */
  async waitForSync(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const what = this.#options.resource.plural
    using deadline = new Deadline(timeoutMs, signal)
    try {
      await orAbort(this.#synced.promise, deadline.signal)
    } catch (error) {
      if (!deadline.expired) throw error
      const cause = this.#lastError
      const why = cause === undefined ? '' : `: ${cause.message}`
      const message = `${what} could not be listed within ${timeoutMs} ms${why}`
      throw new RuntimeError('NOT_SYNCED', message, { cause, retryable: true })
    }
  }

  /** Mirrors until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === '') await this.#relist(signal)
        await this.#watch(signal)
      } catch (error) {
        if (signal.aborted) return
        this.#fail(asError(error))
      }
      if (this.#failures > 0) await pause(backoffDelay(this.#failures, BACKOFF), signal)
    }
  }

  #fail(error: Error): void {
    this.#failures += 1
    // An event that could not be read is lost, and the next one would hide that: only a list is whole again.
    const lost = isApiError(error, 'GONE', 'PROTOCOL') || !isApiError(error)
    if (isApiError(error) && error.status > 0) this.#refusals += 1
    if (lost || this.#refusals >= REFUSALS_BEFORE_RELIST) {
      this.#resourceVersion = ''
      this.#refusals = 0
    }
    this.#lastError = error
    this.#report(error)
  }

  #succeed(): void {
    this.#failures = 0
    this.#refusals = 0
    this.#lastError = undefined
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const { api, resource } = this.#options
    const { items, resourceVersion } = await api.list(resource, this.#options, { signal })
    const gone = new Set(this.#store.keys())
    for (const item of items) {
      gone.delete(keyOf(item))
      this.#set(item)
    }
    for (const key of gone) this.#remove(key)
    this.#resourceVersion = resourceVersion
    this.#hasSynced = true
    this.#lastError = undefined
    this.#synced.resolve()
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { api, resource, watchSeconds = 20, ...selection } = this.#options
    const started = performance.now()
    const timeoutSeconds = Math.ceil(watchSeconds * (1 + Math.random() / 2))
    const opened = (): void => {
      this.#lastError = undefined
    }
    const options = { ...selection, resourceVersion: this.#resourceVersion, timeoutSeconds, opened }
    let events = 0
    for await (const event of api.watch(resource, options, signal)) {
      events += 1
      this.#accept(event)
      this.#succeed()
    }
    if (events > 0 || performance.now() - started >= SHORT_WATCH_MS) this.#succeed()
    else this.#failures += 1
  }

  #accept({ type, object }: WatchEvent<T>): void {
    if (type === 'DELETED') this.#remove(keyOf(object), object)
    else if (type !== 'BOOKMARK') this.#set(object)
    this.#resourceVersion = object.metadata.resourceVersion ?? ''
  }

  #set(received: T): void {
    const object = this.#transform(received)
    const former = this.#store.set(object)
    const { handlers } = this.#options
    if (former === undefined) this.#tell(object, () => handlers?.added?.(object))
    else if (former.metadata.uid !== object.metadata.uid) {
      // Deleted and made again while nobody watched: two objects, though of one name.
      this.#tell(former, () => handlers?.deleted?.(former))
      this.#tell(object, () => handlers?.added?.(object))
    } else if (former.metadata.resourceVersion !== object.metadata.resourceVersion) {
      this.#tell(object, () => handlers?.updated?.(object, former))
    }
  }

  #remove(key: string, last?: T): void {
    const former = this.#store.delete(key)
    if (former === undefined) return
    const object = last === undefined ? former : this.#transform(last)
    this.#tell(object, () => this.#options.handlers?.deleted?.(object))
  }

  #transform(object: T): T {
    try {
      return this.#options.transform?.(object) ?? object
    } catch (cause) {
      this.#reportHandler(object, cause)
      return object
    }
  }

  /** A handler's failure is reported, be it thrown or, from an async function passed as one, rejected. */
  #tell(object: T, handler: () => unknown): void {
    try {
      const result = handler()
      if (result instanceof Promise) result.catch((cause: unknown) => this.#reportHandler(object, cause))
    } catch (cause) {
      this.#reportHandler(object, cause)
    }
  }

  #reportHandler(object: T, cause: unknown): void {
    const message = `a handler of ${this.#options.resource.plural} failed for ${keyOf(object)}: ${asError(cause).message}`
    this.#report(new RuntimeError('HANDLER_FAILED', message, { cause, retryable: false }))
  }

  #report(error: Error): void {
    try {
      this.#options.onError(error)
    } catch {
      // Nobody is left to tell.
    }
  }
}

/** A transform for `Reflector`: without the managed fields and the last applied configuration, often half of an object. */
export function stripBulk<T extends KubeObject>(object: T): T {
  const metadata = { ...object.metadata }
  delete metadata.managedFields
  if (metadata.annotations !== undefined) {
    const { 'kubectl.kubernetes.io/last-applied-configuration': _, ...annotations } = metadata.annotations
    metadata.annotations = annotations
  }
  return { ...object, metadata }
}
