import { type KubeConfig } from '@kubernetes/client-node'
import { ApiError, buildStatusError, isApiError, type StatusObject } from './errors.ts'
import { Requester, type CallOptions } from './requester.ts'
import { buildCollectionPath, buildObjectPath, type KubeObject, type ObjectName, type Resource } from './resource.ts'
import { readJsonLines } from './response.ts'
import { Deadline } from './timing.ts'
import { TokenBucket } from './token-bucket.ts'
import { HttpClient, type HttpRequest } from './http-client.ts'

export interface KubeApiOptions {
  /** Requests per second on average, watches included. */
  readonly qps?: number
  /** Requests at once. */
  readonly burst?: number
  /** Connections at once; each watch holds one. */
  readonly maxConnections?: number
  /** Deadline of a call with its retries. */
  readonly timeoutMs?: number
  /** Deadline of one try. */
  readonly attemptTimeoutMs?: number
  readonly maxRetries?: number
}

export interface Selection {
  /** All namespaces when absent. */
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
}

export interface ListResult<T> {
  readonly items: T[]
  /** Where a watch goes on. */
  readonly resourceVersion: string
}

export interface ApplyOptions extends CallOptions {
  readonly fieldManager: string
  /** Takes over fields of other managers instead of failing with a conflict; the default. */
  readonly force?: boolean
  /** Answers what the object would be, and changes nothing. */
  readonly dryRun?: boolean
}

export interface DeleteOptions extends CallOptions {
  /** Deletes only this very object, not one that took its name. */
  readonly uid?: string
  readonly resourceVersion?: string
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
  readonly gracePeriodSeconds?: number
}

export interface WatchOptions extends Selection {
  /** Events after it. */
  readonly resourceVersion: string
  /** The server ends the watch after this; a connection that has not ended 5 s later counts as dead. */
  readonly timeoutSeconds: number
  /** Called when the server has accepted the watch. */
  readonly opened?: () => void
}

/** A bookmark's object has only a resource version. */
export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'
  readonly object: T
}

const PAGE_SIZE = 500
const WATCH_GRACE_MS = 5_000
const APPLY_PATCH = 'application/apply-patch+yaml'
const MERGE_PATCH = 'application/merge-patch+json'

/**
 * The API server, for any kind of object, as plain JSON.
 *
 * Every method takes a signal and has a deadline (15 s unless told otherwise), and throws `ApiError` when the server
 * refuses or cannot be reached, or the signal's reason. Leader election deserves an instance of its own, so that it never
 * waits behind the rate limit or the connections of others.
 */
export class KubeApi implements Disposable {
  readonly #http: HttpClient
  readonly #requester: Requester
  constructor(config: KubeConfig, options: KubeApiOptions = {}) {
    const { qps = 50, burst = 100, maxConnections = 64 } = options
    const { timeoutMs = 15_000, attemptTimeoutMs = 5_000, maxRetries = 4 } = options
    this.#http = new HttpClient(config, maxConnections)
    const bucket = new TokenBucket(qps, burst)
    this.#requester = new Requester(this.#http, bucket, { timeoutMs, attemptTimeoutMs, maxRetries })
  }

  /** TCP connections opened so far. */
  get connectionsOpened(): number {
    return this.#http.connectionsOpened
  }

  /** Closes all connections. */
  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]()
  }

  /** Reads an object from etcd, never from a cache. */
  async get<T extends KubeObject>(resource: Resource<T>, name: ObjectName, call?: CallOptions): Promise<T> {
    const path = buildObjectPath(resource, name)
    return (await this.#requester.call({ method: 'GET', path }, true, call)) as T
  }

  /** Reads all objects, page by page, of one consistent moment. */
  async list<T extends KubeObject>(
    resource: Resource<T>,
    selection: Selection & { readonly pageSize?: number } = {},
    call?: CallOptions,
  ): Promise<ListResult<T>> {
    try {
      return await this.#listPages(resource, selection, call)
    } catch (error) {
      // The pages took longer than etcd keeps that moment (5 min, or a compaction): once more, from now.
      if (!isApiError(error, 'GONE')) throw error
      return await this.#listPages(resource, selection, call)
    }
  }

  /** Creates an object. Not repeated when it is unknown whether the first try got through. */
  async create<T extends KubeObject>(resource: Resource<T>, object: T, call?: CallOptions): Promise<T> {
    const path = buildCollectionPath(resource, object.metadata.namespace)
    return (await this.#write('POST', path, 'application/json', whole(resource, object), false, call)) as T
  }

  /** Replaces an object; one whose resource version is not the current one is refused as CONFLICT. */
  async update<T extends KubeObject>(resource: Resource<T>, object: T, call?: CallOptions): Promise<T> {
    const path = buildObjectPath(resource, object.metadata)
    return (await this.#write('PUT', path, 'application/json', whole(resource, object), false, call)) as T
  }

  /** Server-side apply: creates the object, or sets the fields named in it. */
  async apply<T extends KubeObject>(resource: Resource<T>, object: T, options: ApplyOptions): Promise<T> {
    return await this.#apply(resource, object, options)
  }

  /** Server-side apply of the status alone. */
  async applyStatus<T extends KubeObject>(resource: Resource<T>, object: T, options: ApplyOptions): Promise<T> {
    return await this.#apply(resource, object, options, 'status')
  }

  /** JSON merge patch (RFC 7396) of an object, or of a subresource such as `status`. */
  async patch<T extends KubeObject>(
    resource: Resource<T>,
    name: ObjectName,
    patch: object,
    call?: CallOptions & { readonly subresource?: string },
  ): Promise<T> {
    const path = buildObjectPath(resource, name, call?.subresource)
    return (await this.#write('PATCH', path, MERGE_PATCH, patch, true, call)) as T
  }

  /** Asks to delete an object. It may live on until its finalizers and grace period are over. */
  async delete(resource: Resource, name: ObjectName, options: DeleteOptions = {}): Promise<void> {
    const { uid, resourceVersion, propagationPolicy, gracePeriodSeconds } = options
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      preconditions: { uid, resourceVersion },
      propagationPolicy,
      gracePeriodSeconds,
    }
    // Without the UID a repeated delete could hit a successor of the same name.
    const path = buildObjectPath(resource, name)
    await this.#write('DELETE', path, 'application/json', body, uid !== undefined, options)
  }

  /**
   * The changes after a resource version. Ends when the server ends it, which is no error.
   *
   * @throws ApiError GONE when the version is too old; TIMEOUT when the connection is silent beyond the agreed end
   */
  async *watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>, void> {
    const { resourceVersion, timeoutSeconds } = options
    const path = buildCollectionPath(resource, options.namespace)
    const query = selectionQuery(options)
    query.set('watch', 'true')
    query.set('allowWatchBookmarks', 'true')
    query.set('resourceVersion', resourceVersion)
    query.set('timeoutSeconds', String(timeoutSeconds))
    const what = `WATCH ${path}`
    const lifeMs = timeoutSeconds * 1_000 + WATCH_GRACE_MS
    using deadline = new Deadline(lifeMs, signal, what)
    const response = await this.#requester.open({ method: 'GET', path, query }, deadline, lifeMs, signal)
    options.opened?.()
    try {
      for await (const line of readJsonLines(response, what)) yield parseEvent<T>(line, what)
    } catch (error) {
      throw this.#requester.explain(error, what, deadline, signal)
    }
    // A reader that the abort did not wake with an error.
    signal.throwIfAborted()
  }

  async #listPages<T extends KubeObject>(
    resource: Resource<T>,
    selection: Selection & { readonly pageSize?: number },
    call?: CallOptions,
  ): Promise<ListResult<T>> {
    const path = buildCollectionPath(resource, selection.namespace)
    const query = selectionQuery(selection)
    query.set('limit', String(selection.pageSize ?? PAGE_SIZE))
    const items: T[] = []
    for (;;) {
      const page = (await this.#requester.call({ method: 'GET', path, query }, true, call)) as ListPage<T>
      // The items of a list come without these.
      for (const item of page.items) items.push({ ...item, apiVersion: resource.apiVersion, kind: resource.kind })
      const next = page.metadata.continue ?? ''
      if (next === '') return { items, resourceVersion: page.metadata.resourceVersion }
      query.set('continue', next)
    }
  }

  async #apply<T extends KubeObject>(resource: Resource<T>, object: T, options: ApplyOptions, subresource?: string) {
    const query = new URLSearchParams({ fieldManager: options.fieldManager, force: String(options.force ?? true) })
    if (options.dryRun === true) query.set('dryRun', 'All')
    const path = buildObjectPath(resource, object.metadata, subresource)
    return (await this.#write('PATCH', path, APPLY_PATCH, whole(resource, object), true, options, query)) as T
  }

  async #write(
    method: HttpRequest['method'],
    path: string,
    contentType: string,
    body: object,
    idempotent: boolean,
    call?: CallOptions,
    query = new URLSearchParams(),
  ): Promise<unknown> {
    return await this.#requester.call(
      { method, path, query, contentType, body: JSON.stringify(body) },
      idempotent,
      call,
    )
  }
}

interface ListPage<T> {
  readonly items: readonly T[]
  readonly metadata: { readonly continue?: string; readonly resourceVersion: string }
}

function whole<T extends KubeObject>({ apiVersion, kind }: Resource<T>, object: T): T {
  return { ...object, apiVersion, kind }
}

function selectionQuery({ labelSelector, fieldSelector }: Selection): URLSearchParams {
  const query = new URLSearchParams()
  if (labelSelector !== undefined) query.set('labelSelector', labelSelector)
  if (fieldSelector !== undefined) query.set('fieldSelector', fieldSelector)
  return query
}

function parseEvent<T extends KubeObject>(line: unknown, what: string): WatchEvent<T> {
  const { type, object } = (line ?? {}) as { type?: unknown; object?: T & StatusObject }
  if (type === 'ERROR' && object !== undefined) throw buildStatusError(what, object.code ?? 0, object)
  const known = type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED' || type === 'BOOKMARK'
  if (!known || typeof object?.metadata?.resourceVersion !== 'string') {
    throw new ApiError('PROTOCOL', `${what}: an event is not of the form of a watch event`)
  }
  return { type, object }
}
