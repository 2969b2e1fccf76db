import { defaults } from '../defaults.ts'
import type { Incarnation, RegisteredIncarnation } from '../brokers/broker.ts'
import { readIncarnations } from '../brokers/cleanup.ts'
import { brokerField, type Keys } from '../keys.ts'
import { guard, type RedisClient } from '../redis/redis.ts'
import type { InboxFormat } from './inbox-format.ts'
import { turnListsToStreams, type StreamOptions, type TurnedLists } from './lists-to-streams.ts'

export interface ListSwitchEvents {
  /** From here on lists are written. */
  switched(): void
  /** Who cannot read lists. `late`: lists are written already, and they cannot serve users who have one; else they hold that up. */
  held(by: readonly RegisteredIncarnation[], late: boolean): void
  /** All inboxes have been walked through. None is left: every inbox is a stream, and gateways of 0.2.0 may come. */
  turnedBack(lists: TurnedLists): void
  failed(error: unknown): void
}

export interface ListSwitchOptions extends StreamOptions {
  readonly leaseMs: number
}

/** So many lives of a lease nobody may be in the register who cannot read lists, before they are written. */
const HOLD_LEASES = 5
/** Once they are written, or all are streams, a look is only to tell of somebody who came late. */
const LATER_LEASES = 10
const LISTS = 'lists'

/**
 * Says whether inboxes are written as lists: once every gateway of the register reads them. The register keeps one that is away for a
 * moment, until it is proved dead. There is no way back by itself; see `turnListsToStreams`.
 *
 * The incarnation says in the register what it does: `lists: 'write'`; or only `'read'`, to make a way for 0.2.0.
 */
export class ListSwitch implements InboxFormat, AsyncDisposable {
  readonly #redis: RedisClient
  readonly #keys: Keys
  readonly #own: Incarnation
  readonly #options: ListSwitchOptions
  readonly #events: ListSwitchEvents
  readonly #stop = new AbortController()
  #writesLists = false
  /** No list is left, as far as is known. */
  #turnedBack = false
  #hasTurned = false
  #freeSince: number | undefined
  #heldBy = ''
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined

  private constructor(
    redis: RedisClient,
    keys: Keys,
    own: Incarnation,
    options: ListSwitchOptions,
    events: ListSwitchEvents,
  ) {
    this.#redis = redis
    this.#keys = keys
    this.#own = own
    this.#options = options
    this.#events = events
  }

  /**
   * Decides at once where others have decided, or nobody was here before; else later. The incarnation is registered.
   *
   * @throws SessionError `redis_unavailable` or `redis_failed`
   */
  static async open(
    redis: RedisClient,
    keys: Keys,
    own: Incarnation,
    options: ListSwitchOptions,
    events: ListSwitchEvents,
  ): Promise<ListSwitch> {
    const found = new ListSwitch(redis, keys, own, options, events)
    await found.#look(true)
    found.#wait()
    return found
  }

  get writesLists(): boolean {
    return this.#writesLists
  }

  /** Redis may have been set back: what was turned to streams may be lists again. */
  restore(): void {
    this.#turnedBack = false
  }

  #wait(): void {
    const ms = this.#options.leaseMs * (this.#writesLists || this.#hasTurned ? LATER_LEASES : 1)
    this.#timer = setTimeout(() => {
      this.#looking = this.#look(false)
        .catch((error: unknown) => this.#stop.signal.aborted || this.#events.failed(error))
        .then(() => this.#stop.signal.aborted || this.#wait())
        .then(() => undefined)
    }, ms).unref()
  }

  async #look(starting: boolean): Promise<void> {
    const [registered, decided] = await Promise.all([
      readIncarnations(this.#redis, this.#keys),
      guard(this.#redis.get(this.#keys.inboxFormat())),
    ])
    const others = registered.filter(({ bootId }) => bootId !== this.#own.bootId)
    const unable = others.filter(({ lists }) => lists === undefined)
    if (this.#own.lists !== 'write') {
      this.#tell(unable, false)
      // Nobody waits for the walk: the gateway serves clients meanwhile.
      if (!starting) await this.#turnBack(others)
      return
    }
    const now = performance.now()
    this.#freeSince = unable.length === 0 ? (this.#freeSince ?? now) : undefined
    const free = this.#freeSince !== undefined && now - this.#freeSince >= HOLD_LEASES * this.#options.leaseMs
    const first = starting && others.length === 0
    if (!this.#writesLists && unable.length === 0 && (decided === LISTS || free || first)) {
      this.#writesLists = true
      this.#events.switched()
    }
    this.#tell(unable, this.#writesLists || decided === LISTS)
    if (!this.#writesLists || unable.length > 0) return
    await guard(this.#redis.set(this.#keys.inboxFormat(), LISTS, 'PX', defaults.directoryRetentionMs))
  }

  /** Once for each change of who is meant, and of what it means. */
  #tell(unable: readonly RegisteredIncarnation[], late: boolean): void {
    const who = unable.map(({ brokerId, bootId }) => brokerField(brokerId, bootId)).join(' ')
    const told = who === '' ? '' : `${late} ${who}`
    if (told === this.#heldBy) return
    this.#heldBy = told
    this.#events.held(unable, late)
  }

  /** Once no gateway writes lists, the first of the register turns them all back. */
  async #turnBack(others: readonly RegisteredIncarnation[]): Promise<void> {
    if (others.some(({ lists }) => lists === 'write')) {
      this.#turnedBack = false
      return
    }
    if (this.#turnedBack) return
    const readers = others.filter(({ lists }) => lists === 'read')
    if (readers.some(({ brokerId }) => brokerId < this.#own.brokerId)) return
    await guard(this.#redis.del(this.#keys.inboxFormat()))
    // Before the walk: what is restored meanwhile is walked through again.
    this.#turnedBack = true
    try {
      const lists = await turnListsToStreams(this.#redis, this.#keys, this.#options, this.#stop.signal)
      this.#hasTurned = true
      if (lists.left > 0) this.#turnedBack = false
      this.#events.turnedBack(lists)
    } catch (error) {
      this.#turnedBack = false
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    clearTimeout(this.#timer)
    await this.#looking
  }
}
