import { randomBytes } from 'node:crypto'
import { type KubeApi } from './api.ts'
import { isApiError } from './errors.ts'
import { buildMicroTime } from './lease.ts'
import { type KubeObject, type Resource } from './resource.ts'
import { Deadline, asError, backoffDelay, pause } from './timing.ts'
import { TokenBucket } from './token-bucket.ts'

/** An Event as it is on the wire (events.k8s.io/v1). */
export interface KubeEvent extends KubeObject {
  eventTime: string
  type: 'Normal' | 'Warning'
  reason: string
  action: string
  note: string
  reportingController: string
  reportingInstance: string
  regarding: Record<string, string | undefined>
  series?: { count: number; lastObservedTime: string }
}

export const events: Resource<KubeEvent> = {
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
}

export interface EventDraft {
  readonly type: 'Normal' | 'Warning'
  /** Why, in one CamelCase word: `ScaledDown`. */
  readonly reason: string
  /** What was done about it, in one CamelCase word: `Scale`. */
  readonly action: string
  /** For people; cut at 1024 bytes. */
  readonly note: string
}

export interface EventRecorderOptions {
  readonly api: KubeApi
  /** A qualified name, such as `example.org/operator`. */
  readonly controller: string
  /** Such as the pod name. */
  readonly instance: string
  /** Writes per second on average, and at once. */
  readonly qps?: number
  readonly burst?: number
  /** Different Events of one object: at once, and then per minute. */
  readonly burstPerObject?: number
  readonly perMinutePerObject?: number
  /** The count of an Event that repeats is written at most this often. */
  readonly seriesIntervalMs?: number
  /** Told of an Event that was not written: too many, or refused. */
  readonly onDrop?: (draft: EventDraft, cause?: Error) => void
}

interface Entry {
  readonly draft: EventDraft
  readonly event: KubeEvent
  count: number
  /** The count that the server has; 0 when it has no such Event. */
  written: number
  failures: number
  lastAt: number
  dueAt: number
}

/** Entries, hence memory and writes under way, at most. */
const MAX_ENTRIES = 1_000
/** An Event that comes again after this is a new one, as in client-go. */
const SERIES_MS = 6 * 60_000
const MAX_TRIES = 5
const RETRY_BACKOFF = { baseMs: 500, maxMs: 10_000 }
const WRITE_TIMEOUT_MS = 5_000
/** What is left when the recorder stops is written within this. */
const FLUSH_MS = 2_000
const MAX_NOTE_BYTES = 1_024

/**
 * Writes Events in the background, as well as it goes: `record` never waits and never throws. The same Event again
 * raises the count of the first (`series`).
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions
  readonly #bucket: TokenBucket
  readonly #entries = new Map<string, Entry>()
  readonly #objects = new Map<string, TokenBucket>()
  #nap = new AbortController()

  constructor(options: EventRecorderOptions) {
    this.#options = options
    this.#bucket = new TokenBucket(options.qps ?? 5, options.burst ?? 50)
  }

  record(regarding: KubeObject, draft: EventDraft): void {
    const key = JSON.stringify([regarding.metadata.uid, draft.type, draft.reason, draft.action, draft.note])
    const now = performance.now()
    const entry = this.#entries.get(key)
    if (entry !== undefined && now - entry.lastAt < SERIES_MS) {
      entry.count += 1
      entry.lastAt = now
    } else if (this.#hasRoom(now) && this.#bucketOf(regarding).tryTake()) {
      const event = buildEvent(regarding, draft, this.#options)
      this.#entries.set(key, { draft, event, count: 1, written: 0, failures: 0, lastAt: now, dueAt: now })
    } else {
      this.#options.onDrop?.(draft)
    }
    this.#nap.abort()
  }

  /** Writes what is recorded until the signal aborts, and then for 2 s at most what is left. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = (): void => this.#nap.abort()
    signal.addEventListener('abort', wake)
    while (!signal.aborted) {
      this.#nap = new AbortController()
      const [next] = this.#dirty().toSorted((a, b) => a.dueAt - b.dueAt)
      const wait = next === undefined ? SERIES_MS : next.dueAt - performance.now()
      if (wait > 0) await pause(wait, this.#nap.signal)
      else if (next !== undefined) await this.#write(next, signal)
    }
    signal.removeEventListener('abort', wake)
    using last = new Deadline(FLUSH_MS)
    for (const entry of this.#dirty()) await this.#write(entry, last.signal)
  }

  #dirty(): Entry[] {
    return [...this.#entries.values()].filter(({ count, written }) => count > written)
  }

  async #write(entry: Entry, signal: AbortSignal): Promise<void> {
    const count = entry.count
    try {
      await this.#bucket.take(signal)
      await this.#send(entry, count, signal)
      entry.written = count
      entry.failures = 0
      entry.dueAt = performance.now() + (this.#options.seriesIntervalMs ?? 10_000)
    } catch (cause) {
      if (signal.aborted) return
      entry.failures += 1
      entry.dueAt = performance.now() + backoffDelay(entry.failures, RETRY_BACKOFF)
      if (entry.failures < MAX_TRIES && (!isApiError(cause) || cause.retryable)) return
      entry.failures = 0
      entry.written = count
      this.#options.onDrop?.(entry.draft, asError(cause))
    }
  }

  async #send({ event, written }: Entry, count: number, signal: AbortSignal): Promise<void> {
    const { api } = this.#options
    const call = { signal, timeoutMs: WRITE_TIMEOUT_MS, retry: false }
    const series = { count, lastObservedTime: buildMicroTime(new Date()) }
    if (written > 0) {
      try {
        await api.patch(events, event.metadata, { series }, call)
        return
      } catch (error) {
        // The server keeps an Event for an hour; this one starts anew.
        if (!isApiError(error, 'NOT_FOUND')) throw error
      }
    }
    try {
      await api.create(events, count > 1 ? { ...event, series } : event, call)
    } catch (error) {
      // The name is random: an earlier try got through.
      if (!isApiError(error, 'ALREADY_EXISTS')) throw error
    }
  }

  #hasRoom(now: number): boolean {
    for (const [key, { count, written, lastAt }] of this.#entries) {
      if (this.#entries.size < MAX_ENTRIES) return true
      if (count === written || now - lastAt >= SERIES_MS) this.#entries.delete(key)
    }
    return this.#entries.size < MAX_ENTRIES
  }

  #bucketOf({ metadata }: KubeObject): TokenBucket {
    const key = metadata.uid ?? metadata.name
    const { burstPerObject = 25, perMinutePerObject = 6 } = this.#options
    const bucket = this.#objects.get(key) ?? new TokenBucket(perMinutePerObject / 60, burstPerObject)
    // The least recently used goes first.
    this.#objects.delete(key)
    this.#objects.set(key, bucket)
    if (this.#objects.size > MAX_ENTRIES)
      for (const [oldest] of [...this.#objects].slice(0, 1)) this.#objects.delete(oldest)
    return bucket
  }
}

function buildEvent(regarding: KubeObject, draft: EventDraft, options: EventRecorderOptions): KubeEvent {
  const { name, namespace, uid, resourceVersion } = regarding.metadata
  const { read } = new TextEncoder().encodeInto(draft.note, new Uint8Array(MAX_NOTE_BYTES))
  return {
    metadata: { name: `${name.slice(0, 230)}.${randomBytes(8).toString('hex')}`, namespace: namespace ?? 'default' },
    eventTime: buildMicroTime(new Date()),
    type: draft.type,
    reason: draft.reason,
    action: draft.action,
    note: draft.note.slice(0, read),
    reportingController: options.controller,
    reportingInstance: options.instance,
    regarding: { apiVersion: regarding.apiVersion, kind: regarding.kind, name, namespace, uid, resourceVersion },
  }
}
