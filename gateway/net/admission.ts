import type { CodeName } from '../../protocol/codes.ts'
import type { Metrics } from '../metrics.ts'
import type { GatewaySettings } from '../settings.ts'

/** Something on its way to a login: an accepted socket, a TLS or HTTP handshake, a connection. */
export interface Newcomer {
  /** Gets rid of it politely. Replaced as the newcomer passes from one stage to the next. */
  close: (code: CodeName) => void
  /** Its login has come: from now on it waits for the gateway, and not the gateway for it. */
  asked(): void
  /** It logged in, or ended. May be called again. */
  leave(): void
}

/**
 * Bounds what has not logged in, in number and in time, from the moment that a socket is accepted. Past the number the
 * oldest is closed, not the newest refused: a flood of silent sockets then cannot keep a real client out. Whoever has sent
 * its login counts no more: it is the gateway's turn, and it is never closed for one that came later.
 */
export class Admission {
  /** Those that have not sent their login, in order of arrival, with the way to destroy each. */
  readonly #newcomers = new Map<Newcomer, () => void>()
  readonly #settings: GatewaySettings
  readonly #metrics: Metrics

  constructor(settings: GatewaySettings, metrics: Metrics) {
    this.#settings = settings
    this.#metrics = metrics
  }

  /** Takes in an accepted socket. `close` is how to get rid of it for now, `destroy` how to do so at once at any time. */
  admit(close: (code: CodeName) => void, destroy: () => void): Newcomer {
    for (const [oldest, destroyOldest] of this.#newcomers) {
      if (this.#newcomers.size < this.#settings.maxPendingLogins) break
      this.#evict(oldest)
      // One that does not let go when it is told to would hold its socket for a while, uncounted.
      destroyOldest()
    }
    const newcomer: Newcomer = {
      close,
      asked: () => this.#forget(newcomer),
      leave: () => {
        clearTimeout(timer)
        this.#forget(newcomer)
      },
    }
    const timer = setTimeout(() => this.#evict(newcomer), this.#settings.loginTimeoutMs)
    this.#newcomers.set(newcomer, destroy)
    this.#metrics.pendingLogins.set(this.#newcomers.size)
    return newcomer
  }

  #evict(newcomer: Newcomer): void {
    newcomer.leave()
    newcomer.close('login_timeout')
  }

  #forget(newcomer: Newcomer): void {
    this.#newcomers.delete(newcomer)
    this.#metrics.pendingLogins.set(this.#newcomers.size)
  }
}
