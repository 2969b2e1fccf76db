import type { Lease } from '../../session/brokers/broker.ts'
import type { BrokerLease, LeaseLoad } from '../../session/brokers/lease.ts'
import type { Logger } from '../logger.ts'

/** Renewals in the life of a lease: two may fail. */
export const RENEWALS = 3

export interface LeaseEvents {
  /** The lease was gone: Redis lost its data, or this process stood still. */
  recreated(): void
  /** Another process holds the lease: this one must end. */
  replaced(by: Lease): void
}

/** Renews the lease of this broker, with its state and load. */
export class LeaseKeeper implements AsyncDisposable {
  readonly #lease: BrokerLease
  readonly #leaseMs: number
  readonly #load: () => LeaseLoad
  readonly #events: LeaseEvents
  readonly #logger: Logger
  readonly #timer: NodeJS.Timeout
  #renewing: Promise<void> | undefined
  #heldSince: number
  #restoring = false

  /** The lease has just been acquired. */
  constructor(lease: BrokerLease, leaseMs: number, load: () => LeaseLoad, events: LeaseEvents, logger: Logger) {
    this.#lease = lease
    this.#leaseMs = leaseMs
    this.#load = load
    this.#events = events
    this.#logger = logger
    this.#heldSince = performance.now()
    this.#timer = setInterval(() => void this.renew(), leaseMs / RENEWALS)
  }

  /** Whether the last renewal surely still holds, by this process' own clock. */
  get holds(): boolean {
    return this.ageMs < this.#leaseMs - this.#leaseMs / RENEWALS / 2
  }

  /** How long ago the last renewal was sent that Redis took, in milliseconds. */
  get ageMs(): number {
    return performance.now() - this.#heldSince
  }

  /** Renews now. Never rejects. */
  renew(): Promise<void> {
    return (this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined)))
  }

  /** Redis may have been set back: writes the register's entry anew, also one with the mark of a cleanup. Never rejects. */
  restore(): Promise<void> {
    this.#restoring = true
    return this.renew()
  }

  async #renew(): Promise<void> {
    // The lease counts from when Redis got the renewal, which is after this.
    const sentAt = performance.now()
    try {
      const result = await this.#lease.renew(this.#load())
      if (typeof result === 'object') return this.#events.replaced(result.replacedBy)
      if (this.#restoring) {
        await this.#lease.register()
        this.#restoring = false
      }
      this.#heldSince = sentAt
      if (result === 'recreated') this.#events.recreated()
    } catch (err) {
      this.#logger.warn({ err }, 'the lease cannot be renewed; trying again')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#renewing
  }
}
