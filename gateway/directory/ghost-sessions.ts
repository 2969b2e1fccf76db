import type { Directory, Owner } from '../../session/directory.ts'
import type { IndexEntry } from '../../session/keys.ts'
import { ONLINE, isSameDevice, type UserRef, type UserSession } from '../../session/user-session.ts'
import type { ConnectionTable } from '../delivery/connection-table.ts'
import type { EndedSessions } from '../login/ended-sessions.ts'
import type { Logger } from '../logger.ts'
import type { Metrics } from '../metrics.ts'

const TICK_MS = 500
/** Index members read at once, and sessions looked at side by side. */
const SCAN = 500
const PARALLEL = 100
/** Steps of the slow round; none is shorter than a tick. */
const STEPS = 60
const MAX_SUSPECTS = 10_000

export interface GhostContext {
  readonly directory: Directory
  readonly table: ConnectionTable
  readonly endedSessions: EndedSessions
  readonly owner: Owner
  /** The index has lost entries: has all written again. */
  readonly restoreIndex: () => void
  readonly metrics: Metrics
  readonly logger: Logger
}

/**
 * Ends sessions that Redis shows as online here and that no connection here has: Redis was set back to a moment at which they
 * were (I3). Looks through this incarnation's own index, all of it when something tells of a loss and evenly in a slow round;
 * and at users for whom a message came and found nobody. Each change compares the connection, so that a login which comes
 * meanwhile is left alone.
 */
export class GhostSessions implements AsyncDisposable {
  readonly #context: GhostContext
  readonly #timers: readonly NodeJS.Timeout[]
  readonly #suspects = new Map<string, UserRef>()
  readonly #stepPart: number
  #cursor = '0'
  /** Whether to look through the whole index, and whether to go on in the slow round. */
  #everything = false
  #step = false
  #working: Promise<void> | undefined
  #closed = false

  constructor(context: GhostContext, roundMs: number) {
    this.#context = context
    const stepMs = Math.max(TICK_MS, roundMs / STEPS)
    this.#stepPart = Math.min(1, stepMs / roundMs)
    this.#timers = [setInterval(() => (this.#step = true), stepMs), setInterval(() => this.#start(), TICK_MS)]
  }

  /** A message came for a user who has no connection here. */
  suspect(user: UserRef): void {
    if (this.#suspects.size < MAX_SUSPECTS) this.#suspects.set(`${user.appId}:${user.userId}`, user)
  }

  /** Redis may have been set back: looks through the whole index, as soon as Redis can be read. */
  sweep(): void {
    this.#everything = true
    this.#start()
  }

  #start(): void {
    if (!this.#everything && !this.#step && this.#suspects.size === 0) return
    this.#working ??= this.#work()
      .catch((err: unknown) => this.#context.logger.debug({ err }, 'cannot look for ghost sessions; trying again'))
      .finally(() => (this.#working = undefined))
  }

  async #work(): Promise<void> {
    if (this.#suspects.size > 0) await this.#checkSuspects()
    if (this.#everything) {
      this.#cursor = '0'
      // A call that comes meanwhile asks for another one; so does a failure.
      this.#everything = false
      await this.#walk(Infinity).catch((error: unknown) => {
        this.#everything = true
        throw error
      })
    } else if (this.#step) {
      this.#step = false
      const indexed = await this.#countIndex()
      if (indexed > 0) await this.#walk(Math.ceil(indexed * this.#stepPart))
    }
  }

  async #countIndex(): Promise<number> {
    let held = 0
    for (const { stored } of this.#context.table.all()) if (stored !== undefined) held += 1
    const indexed = await this.#context.directory.countIndexed(this.#context.owner)
    if (indexed < held) this.#context.restoreIndex()
    return indexed
  }

  async #checkSuspects(): Promise<void> {
    const batch = [...this.#suspects].slice(0, SCAN)
    const sessions = await this.#context.directory.sessionsOf(batch.map(([, user]) => user))
    for (const [key] of batch) this.#suspects.delete(key)
    const { incarnation } = this.#context.owner
    await this.#each(
      sessions.flat().filter((session) => session.incarnation === incarnation),
      (session) => this.#end(session),
    )
  }

  /** Goes on through the index until about so many entries were looked at or the end is reached. */
  async #walk(most: number): Promise<void> {
    let left = most
    do {
      const count = Math.min(left, SCAN)
      const { cursor, entries } = await this.#context.directory.readIndex(this.#context.owner, this.#cursor, count)
      this.#cursor = cursor
      const unheld = entries.filter((entry) => !this.#isHeld(entry))
      await this.#each(unheld, (entry) => this.#reclaim(entry))
      left -= count
    } while (this.#cursor !== '0' && left > 0 && !this.#closed)
  }

  async #each<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
    for (let at = 0; at < items.length; at += PARALLEL) await Promise.all(items.slice(at, at + PARALLEL).map(work))
  }

  #isHeld({ user, device }: IndexEntry): boolean {
    return this.#context.table.ofUser(user).some((client) => isSameDevice(client.device, device))
  }

  async #reclaim(entry: IndexEntry): Promise<void> {
    const { directory, owner } = this.#context
    const session = await directory.reclaim(owner, entry, () => this.#isHeld(entry))
    if (session?.connectState === ONLINE) await this.#end(session)
  }

  async #end(session: UserSession): Promise<void> {
    if (this.#context.table.get(session.connectionId) !== undefined) return
    this.#context.metrics.ghosts.inc()
    await this.#context.endedSessions.leave(session)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    this.#closed = true
    await this.#working
  }
}
