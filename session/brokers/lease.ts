import { setTimeout as delay } from 'node:timers/promises'
import { parseLease, parseRegistered, type Incarnation, type Lease, type RegisteredIncarnation } from './broker.ts'
import { SessionError } from '../errors.ts'
import { brokerField, type Keys } from '../keys.ts'
import type { FunctionArgument } from '../functions.ts'
import { callFunction, guard, sendAll, type Commands, type RedisClient } from '../redis/redis.ts'
import { defaults } from '../defaults.ts'
import { swapField } from '../swap-field.ts'

export interface LeaseOptions {
  /** How long the lease lives without renewal. Renew it three times as often. */
  readonly leaseMs?: number
  /** How much longer than the holder's lease `acquire` waits. */
  readonly marginMs?: number
}

/** What a lease tells of its holder besides who it is. */
export type LeaseLoad = Pick<Lease, 'state' | 'connections' | 'troubles' | 'redisPersistent' | 'secrets' | 'adminPort'>

/**
 * `recreated`: the lease was missing, or that of a process before this one, because Redis lost its data or was set back, or
 * this process slept for longer than the lease.
 * `replacedBy`: another process is this broker now.
 */
export type RenewResult = 'renewed' | 'recreated' | { readonly replacedBy: Lease }

/** Who is the broker of a name: one process at a time, as long as it renews. */
export class BrokerLease {
  readonly #redis: RedisClient
  readonly #keys: Keys
  readonly #incarnation: Incarnation
  readonly #leaseMs: number
  readonly #marginMs: number
  #acquiredAt = 0

  constructor(redis: RedisClient, keys: Keys, incarnation: Incarnation, options: LeaseOptions = {}) {
    this.#redis = redis
    this.#keys = keys
    this.#incarnation = incarnation
    this.#leaseMs = options.leaseMs ?? defaults.leaseMs
    this.#marginMs = options.marginMs ?? 1000
  }

  /** Puts the incarnation into the register, from which alone a cleanup finds it: before any session, and the lease. */
  async register(): Promise<void> {
    await guard(this.#redis.hset(this.#keys.brokers(), this.#field, JSON.stringify(this.#incarnation)))
  }

  /**
   * Registers and takes the lease: at once when it is free or held by a former boot of the same pod, else when it runs
   * out.
   *
   * @throws SessionError `broker_id_in_use` when the holder keeps renewing; `redis_unavailable`; the signal's reason
   */
  async acquire(signal?: AbortSignal): Promise<void> {
    await this.register()
    const started = performance.now()
    let patience = this.#leaseMs + this.#marginMs
    for (;;) {
      const lease = JSON.stringify({ ...this.#incarnation, state: 'starting', connections: 0 })
      const [found, remainingMs = 0] = await this.#call('acquire-lease', [
        lease,
        this.#incarnation.podUid,
        this.#leaseMs,
      ])
      if (typeof found === 'number') {
        this.#acquiredAt = found
        return
      }
      const holder = readLease(found)
      if (performance.now() - started >= patience) throw await this.#inUse(holder)
      // A holder with longer leases than ours.
      patience = Math.max(patience, Math.min(remainingMs, MAX_LEASE_MS) + this.#marginMs)
      await delay(Math.min(Math.max(remainingMs, 10), 250), undefined, { signal })
    }
  }

  /** Renews the lease and says what became of it. Also restores the register's entry when it was lost. */
  async renew(load: LeaseLoad): Promise<RenewResult> {
    const acquiredAt = this.#acquiredAt
    const lease = JSON.stringify({ ...this.#incarnation, ...load, acquiredAt } satisfies Lease)
    const reply = await this.#call('renew-lease', [
      lease,
      this.#incarnation.bootId,
      this.#leaseMs,
      acquiredAt,
      defaults.directoryRetentionMs,
    ])
    if (typeof reply === 'string') return { replacedBy: readLease(reply) }
    if (reply === 0) {
      // Anew, also when the entry is there: while we slept a cleanup may have left its mark in it.
      await this.register()
      return 'recreated'
    }
    // Unless it is there; also when Redis has no memory left.
    await swapField(this.#redis, this.#keys.brokers(), this.#field, '', JSON.stringify(this.#incarnation))
    return 'renewed'
  }

  /** Says in the register that this process takes itself out of the directory: from here on its lease may be gone, it is not lost. */
  async announceLeaving(): Promise<void> {
    const registered: RegisteredIncarnation = { ...this.#incarnation, leftAt: Date.now() }
    // One with the mark of a cleanup stays as it is.
    const [before, after] = [this.#incarnation, registered].map((entry) => JSON.stringify(entry))
    await swapField(this.#redis, this.#keys.brokers(), this.#field, before ?? '', after ?? '')
  }

  /** Gives the lease up if it is still ours. The register's entry stays, for the cleanup of what is still indexed. */
  async release(): Promise<boolean> {
    return (await this.#call('release-lease', [this.#incarnation.bootId])) === 1
  }

  get #field(): string {
    return brokerField(this.#incarnation.brokerId, this.#incarnation.bootId)
  }

  async #inUse(holder: Lease): Promise<SessionError> {
    await guard(this.#redis.hdel(this.#keys.brokers(), this.#field))
    const who = `pod ${holder.podUid}, boot ${holder.bootId}, on ${holder.host}`
    return new SessionError('broker_id_in_use', `brokerId ${holder.brokerId} is held by another process: ${who}`)
  }

  #call<Name extends 'acquire-lease' | 'renew-lease' | 'release-lease'>(name: Name, args: FunctionArgument[]) {
    const { brokerId, bootId } = this.#incarnation
    const lease = this.#keys.lease(brokerId)
    return callFunction(
      this.#redis,
      name,
      name === 'renew-lease' ? [lease, this.#keys.index(brokerId, bootId)] : [lease],
      args,
    )
  }
}

/** A lease that a function has found to be somebody's. */
function readLease(json: string): Lease {
  const lease = parseLease(json)
  if (!lease) throw new SessionError('redis_failed', 'a function returned an unreadable lease')
  return lease
}

/** How long each lease has to live, in milliseconds; undefined for one that is not there. One round trip. */
export async function readLeaseLives(
  redis: RedisClient,
  keys: Keys,
  brokerIds: readonly string[],
): Promise<(number | undefined)[]> {
  const lives = await sendAll(
    redis,
    brokerIds.map((brokerId) => (target: Commands) => target.pttl(keys.lease(brokerId))),
  )
  // -1: it has no end, and is no lease of ours.
  return lives.map((ms) => (ms === -2 ? undefined : ms === -1 ? Infinity : ms))
}

/** No wait for a lease is longer, whatever its holder has set. */
const MAX_LEASE_MS = 60_000

/** The leases that are alive, by brokerId. One round trip. */
export async function readLeases(
  redis: RedisClient,
  keys: Keys,
  brokerIds: readonly string[],
): Promise<Map<string, Lease>> {
  const replies = await sendAll(
    redis,
    brokerIds.map((brokerId) => (target: Commands) => target.get(keys.lease(brokerId))),
  )
  const leases = new Map<string, Lease>()
  for (const [at, brokerId] of brokerIds.entries()) {
    const lease = parseLease(replies[at])
    if (lease) leases.set(brokerId, lease)
  }
  return leases
}

/**
 * Leases that are alive, of a random sample of so many entries of the register. Its cost does not grow with the cluster.
 *
 * @throws SessionError `redis_unavailable` or `redis_failed`
 */
export async function sampleLeases(redis: RedisClient, keys: Keys, entries: number): Promise<Lease[]> {
  const flat = (await guard(redis.hrandfield(keys.brokers(), entries, 'WITHVALUES'))) as string[]
  const found = flat.flatMap((value, at) => (at % 2 === 1 ? (parseRegistered(value)?.brokerId ?? []) : []))
  return [...(await readLeases(redis, keys, [...new Set(found)])).values()]
}
