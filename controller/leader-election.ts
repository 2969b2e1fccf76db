import { type KubeApi } from './api.ts'
import { RuntimeError, isApiError } from './errors.ts'
import { buildMicroTime, leases, type Lease, type LeaseSpec } from './lease.ts'
import { Deadline, asError, orAbort, pause, startTimer } from './timing.ts'

export interface LeaderElectorOptions {
  /** Best an instance that nothing else uses: a renewal must not wait behind other requests. */
  readonly api: KubeApi
  readonly namespace: string
  /** Of the Lease. */
  readonly name: string
  /** Unique among all processes that ever run for the Lease: a pod name does not suffice, for a container restarts. */
  readonly identity: string
  /** A leader that others saw no renewal of for this long is replaced. */
  readonly leaseDurationMs?: number
  /** A leader that could not renew for this long stops; less than `leaseDurationMs`. */
  readonly renewDeadlineMs?: number
  readonly retryPeriodMs?: number
  /** How long a leader that stops waits for its work to end, renewing meanwhile, before it gives up the lease. */
  readonly shutdownMs?: number
  /** Told of the current holder, each time it changes. */
  readonly onHolder?: (identity: string) => void
  /** Told of each failed try; it is tried again. */
  readonly onError?: (error: Error) => void
}

/** `work` ends when its signal aborts; the signal's reason says why. */
export type LeaderWork = (leading: AbortSignal) => Promise<void>

/** As in client-go: those who wait for the lease ask at intervals of one to 2.2 retry periods. */
const JITTER = 1.2

/**
 * Leader election by a Lease, with client-go's semantics: who holds the lease renews it; who does not waits until it has
 * seen no renewal for the lease's duration on its own monotonic clock, so that clocks of machines are never compared;
 * every write names the resource version that it follows.
 */
export class LeaderElector {
  readonly #options: Required<Omit<LeaderElectorOptions, 'onHolder' | 'onError'>> &
    Pick<LeaderElectorOptions, 'onHolder' | 'onError'>
  #lease: Lease | undefined
  #observed = ''
  #observedAt = 0
  #holder = ''
  /** Until when the lease is surely ours, on the monotonic clock. */
  #leadsUntil = -Infinity

  /** @throws RuntimeError CONFIG_INVALID when the times do not fit each other */
  constructor(options: LeaderElectorOptions) {
    const times = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000, shutdownMs: 10_000 }
    this.#options = { ...times, ...options }
    const { leaseDurationMs, renewDeadlineMs, retryPeriodMs, identity } = this.#options
    // client-go's rules; whole seconds, since the Lease holds no others.
    if (
      leaseDurationMs <= renewDeadlineMs ||
      renewDeadlineMs <= retryPeriodMs * JITTER ||
      leaseDurationMs % 1_000 > 0
    ) {
      const message = `leader election needs lease duration (${leaseDurationMs}) > renew deadline (${renewDeadlineMs}) > ${JITTER} retry periods (${retryPeriodMs}), the first in whole seconds`
      throw new RuntimeError('CONFIG_INVALID', message, { retryable: false })
    }
    if (identity === '') throw new RuntimeError('CONFIG_INVALID', 'identity must not be empty', { retryable: false })
  }

  /** Whether this process leads at this very moment, by the clock: right even when timers are late. */
  get isLeading(): boolean {
    return performance.now() < this.#leadsUntil
  }

  /** The holder seen last; empty when there is none. */
  get holder(): string {
    return this.#holder
  }

  /**
   * Waits for the lease, runs `work` while holding it, and gives it back when `work` has ended or `stop` aborts. When the
   * lease is lost the signal of `work` aborts at once, before anyone else can take the lease.
   *
   * @throws RuntimeError LEASE_LOST once `work` has ended; DEADLINE_EXCEEDED when `work` ignored its signal for
   *   `shutdownMs`, after which the process must exit; what `work` throws
   */
  async run(stop: AbortSignal, work: LeaderWork): Promise<void> {
    const { retryPeriodMs } = this.#options
    while (!(await this.#try(stop))) {
      if (!(await pause(retryPeriodMs * (1 + Math.random() * JITTER), stop))) return
    }
    await this.#lead(stop, work)
  }

  async #lead(stop: AbortSignal, work: LeaderWork): Promise<void> {
    const leading = new AbortController()
    const ended = new AbortController()
    let lost: RuntimeError | undefined
    const lose = (): void => {
      this.#leadsUntil = -Infinity
      lost = new RuntimeError('LEASE_LOST', `the lease ${this.#options.name} was lost`, { retryable: true })
      leading.abort(lost)
    }
    const renewing = this.#renew(ended.signal, lose)
    const failure = await this.#work(stop, leading, work)
    ended.abort()
    await renewing
    // Work that did not heed its signal may still write: then the lease is left to run out.
    if (lost === undefined && !isOverdue(failure)) await this.#release()
    this.#leadsUntil = -Infinity
    if (lost !== undefined) throw lost
    if (failure !== undefined) throw failure
  }

  /** Runs the work, waits for its end after an abort, and returns its failure. */
  async #work(stop: AbortSignal, leading: AbortController, work: LeaderWork): Promise<Error | undefined> {
    const stopWork = (): void => leading.abort(stop.reason)
    if (stop.aborted) stopWork()
    else stop.addEventListener('abort', stopWork, { once: true })
    try {
      const running = work(leading.signal)
      const aborted = Promise.withResolvers<void>()
      if (leading.signal.aborted) aborted.resolve()
      else leading.signal.addEventListener('abort', () => aborted.resolve(), { once: true })
      await Promise.race([running, aborted.promise])
      using deadline = new Deadline(this.#options.shutdownMs, undefined, 'the end of the work')
      await orAbort(running, deadline.signal)
      return undefined
    } catch (error) {
      return error === leading.signal.reason ? undefined : asError(error)
    } finally {
      stop.removeEventListener('abort', stopWork)
    }
  }

  /** Renews until `ended`, or until the lease is lost: taken by another, or not renewed in time. */
  async #renew(ended: AbortSignal, lose: () => void): Promise<void> {
    const over = new AbortController()
    const finish = (): void => over.abort()
    if (ended.aborted) finish()
    else ended.addEventListener('abort', finish, { once: true })
    // Checked by a timer of its own: a request under way must not delay it.
    const check = (): void => {
      if (over.signal.aborted) return
      if (this.isLeading) timer = startTimer(this.#leadsUntil - performance.now(), check)
      else {
        lose()
        finish()
      }
    }
    let timer = startTimer(this.#leadsUntil - performance.now(), check)
    while (await pause(this.#options.retryPeriodMs, over.signal)) {
      if (!(await this.#try(over.signal)) && this.#holder !== this.#options.identity) {
        lose()
        break
      }
    }
    clearTimeout(timer)
    ended.removeEventListener('abort', finish)
  }

  /** One try to take or renew the lease. Failures are reported, never thrown. */
  async #try(signal: AbortSignal): Promise<boolean> {
    // Two tries fit in the time that a leader has.
    const timeoutMs = this.#options.renewDeadlineMs / 2
    using deadline = new Deadline(timeoutMs, signal, 'the lease')
    const call = { signal: deadline.signal, retry: false, timeoutMs }
    try {
      if (this.isLeading && this.#lease !== undefined) {
        try {
          await this.#write(this.#lease, call)
          return true
        } catch (error) {
          // Changed, or deleted: look at it.
          if (!isApiError(error, 'CONFLICT', 'NOT_FOUND')) throw error
        }
      }
      const found = await this.#read(call)
      if (found !== undefined && this.#isHeldByOther()) return false
      await this.#write(found, call)
      return true
    } catch (error) {
      if (!signal.aborted) this.#options.onError?.(asError(error))
      return false
    }
  }

  async #read(call: Call): Promise<Lease | undefined> {
    const { api, namespace, name } = this.#options
    try {
      const lease = await api.get(leases, { namespace, name }, call)
      this.#observe(lease)
      return lease
    } catch (error) {
      if (isApiError(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }

  async #write(former: Lease | undefined, call: Call): Promise<void> {
    const { api, namespace, name, identity, leaseDurationMs, renewDeadlineMs } = this.#options
    const time = buildMicroTime(new Date())
    const held = former?.spec?.holderIdentity === identity
    const transitions = former?.spec?.leaseTransitions ?? 0
    const spec: LeaseSpec = {
      holderIdentity: identity,
      leaseDurationSeconds: leaseDurationMs / 1_000,
      acquireTime: held ? (former.spec?.acquireTime ?? time) : time,
      renewTime: time,
      leaseTransitions: former === undefined || held ? transitions : transitions + 1,
    }
    // Others count from when they see this write, which is later than now.
    const sentAt = performance.now()
    const lease =
      former === undefined
        ? await api.create(leases, { metadata: { namespace, name }, spec }, call)
        : await api.update(leases, { ...former, spec }, call)
    call.signal.throwIfAborted()
    this.#leadsUntil = sentAt + renewDeadlineMs
    this.#observe(lease)
  }

  /** Empties the lease, so that another can take it at once. Best effort: else it runs out. */
  async #release(): Promise<void> {
    using deadline = new Deadline(this.#options.renewDeadlineMs / 2, undefined, 'the release of the lease')
    const call = { signal: deadline.signal, retry: false }
    try {
      await this.#empty(call).catch(async (error: unknown) => {
        // A renewal that was cut short got through after all.
        if (!isApiError(error, 'CONFLICT')) throw error
        await this.#empty(call)
      })
    } catch (error) {
      this.#options.onError?.(asError(error))
    }
  }

  async #empty(call: Call): Promise<void> {
    const { api, identity } = this.#options
    const lease = await this.#read(call)
    if (lease?.spec?.holderIdentity !== identity) return
    const time = buildMicroTime(new Date())
    const { leaseTransitions = 0 } = lease.spec
    const spec = { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: time, renewTime: time, leaseTransitions }
    this.#leadsUntil = -Infinity
    this.#observe(await api.update(leases, { ...lease, spec }, call))
  }

  #observe(lease: Lease): void {
    this.#lease = lease
    const observed = JSON.stringify(lease.spec ?? {})
    if (observed === this.#observed) return
    this.#observed = observed
    this.#observedAt = performance.now()
    const holder = lease.spec?.holderIdentity ?? ''
    if (holder === this.#holder) return
    this.#holder = holder
    this.#options.onHolder?.(holder)
  }

  #isHeldByOther(): boolean {
    const { identity, leaseDurationMs } = this.#options
    if (this.#holder === '' || this.#holder === identity) return false
    const seconds = this.#lease?.spec?.leaseDurationSeconds
    const durationMs = seconds === undefined ? leaseDurationMs : seconds * 1_000
    return performance.now() < this.#observedAt + durationMs
  }
}

function isOverdue(error: Error | undefined): boolean {
  return error instanceof RuntimeError && error.code === 'DEADLINE_EXCEEDED'
}

interface Call {
  readonly signal: AbortSignal
  readonly retry: boolean
}
