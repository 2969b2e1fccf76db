import { buildLocalError, ClientError, isTokenRefused } from './errors.ts'
import { MAX_DELAY_MS, within } from './timing.ts'

export type Token = string | (() => string | Promise<string>)

/** A token this close to its end is not used for a login any more. */
const STALE_MS = 2_000
/** Renewals come after this part of a token's remaining life, and this long before its end where that is later. */
const RENEW_AFTER = 0.8
const RENEW_BEFORE_MS = 60_000
/** Between two renewals, however far this machine's clock is off. */
const MIN_INTERVAL_MS = 1_000
const RETRY_MS = 10_000

export interface TokenEvents {
  /** Sends a new token; resolves with when that one expires, in milliseconds since 1970, 0 for never. */
  renew(token: string): Promise<number>
  failed(error: ClientError): void
}

/** Has the token for a login, and renews it before it expires when it is given as a function. */
export class Tokens {
  readonly #token: Token
  readonly #timeoutMs: number
  readonly #events: TokenEvents
  #current: string | undefined
  #expiresAt = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #stopped = false

  /** `timeoutMs`: how long the function may take. */
  constructor(token: Token, timeoutMs: number, events: TokenEvents) {
    this.#token = token
    this.#timeoutMs = timeoutMs
    this.#events = events
  }

  /** Whether another token can be had. */
  get renewable(): boolean {
    return typeof this.#token === 'function'
  }

  /** Rejects with a ClientError `token_failed`. */
  async get(): Promise<string> {
    if (typeof this.#token === 'string') return this.#token
    if (this.#expiresAt > 0 && this.#expiresAt - Date.now() < STALE_MS) this.#current = undefined
    return this.#current ?? (await this.#fetch())
  }

  /** The token in use is not good any more. */
  invalidate(): void {
    this.#current = undefined
  }

  /** The gateway said when the token in use expires, in milliseconds since 1970; 0 for never. */
  expiresAt(at: number): void {
    clearTimeout(this.#timer)
    this.#expiresAt = at
    if (at === 0 || !this.renewable || this.#stopped) return
    const left = at - Date.now()
    // Already over by this machine's clock: the clock is wrong, since the gateway has just taken the token.
    const delay = left <= 0 ? RETRY_MS : Math.max(left * RENEW_AFTER, left - RENEW_BEFORE_MS, MIN_INTERVAL_MS)
    this.#schedule(delay)
  }

  /** There is no connection to renew a token on. */
  pause(): void {
    clearTimeout(this.#timer)
  }

  stop(): void {
    this.#stopped = true
    this.pause()
  }

  #schedule(delayMs: number): void {
    // Beyond the longest delay the timer fires early, which only renews earlier.
    this.#timer = setTimeout(() => void this.#renew(), Math.min(delayMs, MAX_DELAY_MS))
  }

  async #renew(): Promise<void> {
    const usableUntil = this.#expiresAt
    try {
      this.expiresAt(await this.#events.renew(await this.#fetch()))
    } catch (error) {
      if (this.#stopped) return
      // The next login is not to begin with a token that was just refused.
      if (error instanceof ClientError && isTokenRefused(error)) this.invalidate()
      this.#expiresAt = usableUntil
      this.#events.failed(error instanceof ClientError ? error : buildLocalError('token_failed', '', { cause: error }))
      this.pause()
      this.#schedule(Math.max(MIN_INTERVAL_MS, Math.min(RETRY_MS, (usableUntil - Date.now()) / 4)))
    }
  }

  async #fetch(): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>()
    const get = async () => (typeof this.#token === 'string' ? this.#token : this.#token())
    resolve(get())
    const expired = () => buildLocalError('token_failed', `no token within ${this.#timeoutMs} ms`)
    try {
      this.#current = await within(promise, this.#timeoutMs, undefined, expired, expired)
    } catch (cause) {
      throw cause instanceof ClientError ? cause : buildLocalError('token_failed', '', { cause })
    }
    this.#expiresAt = 0
    return this.#current
  }
}
