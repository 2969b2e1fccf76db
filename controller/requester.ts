import { type IncomingMessage } from 'node:http'
import { ApiError, isApiError } from './errors.ts'
import { readJson } from './response.ts'
import { Deadline, backoffDelay, pause } from './timing.ts'
import { type TokenBucket } from './token-bucket.ts'
import { type HttpRequest, type HttpClient } from './http-client.ts'

const RETRY_BACKOFF = { baseMs: 100, maxMs: 2_000 }

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Deadline of the whole call, with its retries and its wait for the rate limit. */
  readonly timeoutMs?: number | undefined
  /** False to send the request once only, whatever comes. */
  readonly retry?: boolean | undefined
}

export interface RequesterOptions {
  readonly timeoutMs: number
  /** Deadline of one try, so that a dead connection leaves time for another. */
  readonly attemptTimeoutMs: number
  /** Retries of one call at most. */
  readonly maxRetries: number
}

/** Calls with a deadline, within the rate limit, and tried again where that cannot do a thing twice. */
export class Requester {
  readonly #http: HttpClient
  readonly #bucket: TokenBucket
  readonly #options: RequesterOptions
  constructor(http: HttpClient, bucket: TokenBucket, options: RequesterOptions) {
    this.#http = http
    this.#bucket = bucket
    this.#options = options
  }

  /**
   * Sends a request and reads the JSON of the answer.
   *
   * A request that the server refused unread (429) or never saw is tried again; one whose fate is unknown, or that
   * failed in the server, only when it is idempotent.
   *
   * @throws ApiError; the reason of the call's signal
   */
  async call(request: HttpRequest, idempotent: boolean, call: CallOptions = {}): Promise<unknown> {
    const what = `${request.method} ${request.path}`
    const maxRetries = call.retry === false ? 0 : this.#options.maxRetries
    using deadline = new Deadline(call.timeoutMs ?? this.#options.timeoutMs, call.signal, what)
    let failure: ApiError | undefined
    for (let failures = 0; ; failures += 1) {
      try {
        await this.#bucket.take(deadline.signal)
        return await this.#attempt(request, what, deadline)
      } catch (error) {
        failure = explain(error, what, deadline, call.signal, failure)
      }
      if (deadline.expired || failures >= maxRetries || !canRetry(failure, idempotent)) throw failure
      const wait = Math.max(failure.retryAfterMs ?? 0, backoffDelay(failures + 1, RETRY_BACKOFF))
      if (wait >= deadline.remainingMs) throw failure
      if (!(await pause(wait, deadline.signal))) throw explain(failure, what, deadline, call.signal, failure)
    }
  }

  /**
   * Opens an answer that is read for as long as `lifeMs`; `attemptTimeoutMs` is the deadline of its headers. The caller
   * reads it under the deadline, which it made and disposes.
   *
   * @throws ApiError; the reason of the deadline's parent
   */
  async open(request: HttpRequest, deadline: Deadline, lifeMs: number, parent?: AbortSignal): Promise<IncomingMessage> {
    const what = `${request.method} ${request.path}`
    try {
      await this.#bucket.take(deadline.signal)
      deadline.restart(this.#options.attemptTimeoutMs)
      const response = await this.#http.send(request, deadline.signal)
      if (response.statusCode === 200) deadline.restart(lifeMs)
      // Of another status the body is the refusal, so this throws.
      else await readJson(response, what)
      return response
    } catch (error) {
      throw this.explain(error, what, deadline, parent)
    }
  }

  /** What an error under a deadline means: the caller's abort (thrown), a time-out, or what it is. */
  explain(error: unknown, what: string, deadline: Deadline, parent?: AbortSignal): ApiError {
    if (deadline.expired) this.#http.dropIdle()
    return explain(error, what, deadline, parent)
  }

  async #attempt(request: HttpRequest, what: string, total: Deadline): Promise<unknown> {
    using attempt = new Deadline(this.#options.attemptTimeoutMs, total.signal, what)
    try {
      return await readJson(await this.#http.send(request, attempt.signal), what)
    } catch (error) {
      throw this.explain(error, what, attempt, total.signal)
    }
  }
}

function explain(
  error: unknown,
  what: string,
  deadline: Deadline,
  parent: AbortSignal | undefined,
  former?: ApiError,
): ApiError {
  if (parent?.aborted === true) throw parent.reason
  if (deadline.expired) {
    const after = former === undefined ? '' : `, after ${former.message}`
    return new ApiError('TIMEOUT', `${what}: no answer in time${after}`, { cause: former ?? error })
  }
  if (error instanceof ApiError) return error
  throw error
}

function canRetry(error: ApiError, idempotent: boolean): boolean {
  if (error.code === 'TOO_MANY_REQUESTS' || (error.code === 'NETWORK' && !error.sent)) return true
  return idempotent && isApiError(error, 'NETWORK', 'TIMEOUT', 'SERVER_ERROR')
}
