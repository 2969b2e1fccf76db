import type { Trouble } from '../session/brokers/broker.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'

/** What is wrong around a gateway, and mostly passes only when somebody acts. Also the reason of an ImCluster's condition. */
export type TroubleReason =
  | 'FormerGateway'
  | 'GatewayCutOff'
  | 'NatsForbidden'
  | 'NatsPayloadTooSmall'
  | 'NatsRefused'
  | 'NatsUnavailable'
  | 'RedisEvicts'
  | 'RedisFull'
  | 'RedisLoading'
  | 'RedisRefusesWrites'
  | 'RedisForeignKey'
  | 'RedisUnavailable'
  | 'SecretUnusable'

/** Tells of troubles by log (when one begins, changes or ends), metric, /readyz and, by way of the lease, to the operator. */
export class Troubles {
  readonly #messages = new Map<TroubleReason, string>()
  readonly #timers = new Map<TroubleReason, NodeJS.Timeout>()
  readonly #metrics: Metrics
  readonly #logger: Logger

  constructor(metrics: Metrics, logger: Logger) {
    this.#metrics = metrics
    this.#logger = logger
  }

  /**
   * @param message what is wrong and what to do about it; undefined when nothing is (any more)
   * @param lastsMs after so long without another report it counts as over, where nothing else tells
   */
  report(reason: TroubleReason, message: string | undefined, lastsMs?: number): void {
    clearTimeout(this.#timers.get(reason))
    if (message !== undefined && lastsMs !== undefined) {
      this.#timers.set(reason, setTimeout(() => this.report(reason, undefined), lastsMs).unref())
    }
    if (this.#messages.get(reason) === message) return
    this.#metrics.troubles.set({ reason }, message === undefined ? 0 : 1)
    if (message === undefined) {
      this.#messages.delete(reason)
      this.#logger.info({ reason }, 'a trouble is over')
    } else {
      this.#messages.set(reason, message)
      this.#logger.error({ reason }, message)
    }
  }

  /** The message of a trouble, if there is one. */
  get(reason: TroubleReason): string | undefined {
    return this.#messages.get(reason)
  }

  get list(): Trouble[] {
    return [...this.#messages].map(([reason, message]) => ({ reason, message }))
  }
}
