import { setTimeout as delay } from 'node:timers/promises'
import type { Directory } from '../../session/directory.ts'
import { SessionError } from '../../session/errors.ts'
import type { UserSession } from '../../session/user-session.ts'
import type { ClientSession } from '../delivery/client-session.ts'
import type { ConnectionTable } from '../delivery/connection-table.ts'
import type { CursorWriter } from '../delivery/cursor-writer.ts'
import type { Logger } from '../logger.ts'
import type { LoginService } from '../login/login-service.ts'
import type { Metrics } from '../metrics.ts'
import type { GatewaySettings } from '../settings.ts'

const TICK_MS = 1_000
/** Users compared in one round trip: few enough for a message that comes meanwhile not to wait long, here and in Redis. */
const BATCH = 50
/** Batches under way at once when all are compared: most of their time is waiting. */
const LANES = 4
/** Of the time that a batch took, what is left to others before the next. */
const PAUSE = 1 / 4
/** From a comparison of all that failed to the next: at first, and at the most after many. */
const WAIT_MS = 3_000
const MAX_WAIT_MS = 30_000

type Users = readonly (readonly ClientSession[])[]

/**
 * Compares what this gateway holds with what Redis holds: heads of the streams, so that a lost push is made up for, and sessions,
 * so that those that Redis lost are written again and those that lost their place leave (I3). For all users at once when
 * something tells of a loss; for the rest in a slow round, evenly spread.
 */
export class Verifier implements AsyncDisposable {
  readonly #directory: Directory
  readonly #table: ConnectionTable
  readonly #logins: LoginService
  readonly #cursors: CursorWriter
  readonly #metrics: Metrics
  readonly #logger: Logger
  readonly #roundMs: number
  readonly #maxDevices: number
  readonly #timer: NodeJS.Timeout
  #working: Promise<void> | undefined
  /** What was asked for: to compare all, and to write again also what no comparison shows. */
  #compare = false
  #restore = false
  /** When all may be compared again, and how long to wait after the next failure. */
  #notBefore = -Infinity
  #waitMs = WAIT_MS
  /** Redis took something not now, which it may take later. */
  #refused = false
  #round: Iterator<readonly ClientSession[]> | undefined
  /** Users that are due in the slow round, and those that could not be compared. */
  #due = 0
  #left: Users = []
  #closed = false

  constructor(
    context: {
      directory: Directory
      table: ConnectionTable
      logins: LoginService
      cursors: CursorWriter
      metrics: Metrics
      logger: Logger
    },
    { verifyRoundMs, maxDevices }: Pick<GatewaySettings, 'verifyRoundMs' | 'maxDevices'>,
  ) {
    this.#directory = context.directory
    this.#table = context.table
    this.#logins = context.logins
    this.#cursors = context.cursors
    this.#metrics = context.metrics
    this.#logger = context.logger
    this.#roundMs = verifyRoundMs
    this.#maxDevices = maxDevices
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  /**
   * Asks for a comparison of all users, heads and sessions: messages of other brokers may be lost. It begins as soon as Redis can be
   * read, and leaves room to live traffic. Many calls at once ask for one.
   */
  verifyAll(): void {
    this.#compare = true
    this.#notBefore = -Infinity
    this.#start()
  }

  /** As `verifyAll`, and writes again what no comparison shows: Redis may have lost anything. */
  restoreAll(): void {
    this.#restore = true
    this.verifyAll()
  }

  #tick(): void {
    const part = TICK_MS / this.#roundMs
    this.#due = Math.min(this.#due + this.#table.size * part, this.#table.size)
    this.#start()
  }

  #start(): void {
    this.#working ??= this.#work()
      .catch((err: unknown) => this.#logger.debug({ err }, 'sessions cannot be verified; trying again'))
      .finally(() => (this.#working = undefined))
  }

  async #work(): Promise<void> {
    if (this.#compare && performance.now() >= this.#notBefore) await this.#verifyEverybody()
    else await this.#goOnWithRound()
  }

  async #verifyEverybody(): Promise<void> {
    const restore = this.#restore
    this.#compare = this.#restore = this.#refused = false
    const users = this.#table.users()[Symbol.iterator]()
    const lanes = Array.from({ length: LANES }, () => this.#verifyLane(users, restore))
    const failed = (await Promise.allSettled(lanes)).find((lane) => lane.status === 'rejected')
    if (failed === undefined && !this.#refused) {
      this.#waitMs = WAIT_MS
      return
    }
    // Who has asked meanwhile need not wait: Redis may be back.
    if (!this.#compare) this.#notBefore = performance.now() + this.#waitMs
    this.#waitMs = Math.min(2 * this.#waitMs, MAX_WAIT_MS)
    this.#compare = true
    this.#restore ||= restore
    if (failed !== undefined) throw failed.reason
  }

  async #verifyLane(users: Iterator<Users[number]>, restore: boolean): Promise<void> {
    for (let batch = take(users, BATCH); batch.length > 0 && !this.#closed; batch = take(users, BATCH)) {
      const startedAt = performance.now()
      await this.#verify(batch, restore)
      await delay((performance.now() - startedAt) * PAUSE)
    }
  }

  /** Compares those that are due; with the next users when nobody is left of the former ones. */
  async #goOnWithRound(): Promise<void> {
    while (this.#due >= 1 && !this.#closed) {
      if (this.#left.length === 0) {
        this.#round ??= this.#table.users()[Symbol.iterator]()
        this.#left = take(this.#round, Math.min(BATCH, Math.floor(this.#due)))
        // The next tick begins the next round.
        if (this.#left.length === 0) {
          this.#round = undefined
          return
        }
      }
      await this.#verify(this.#left, false)
      this.#due -= this.#left.length
      this.#left = []
    }
  }

  /** @throws SessionError when Redis is away; of other failures each stands for itself */
  async #verify(users: Users, restore: boolean): Promise<void> {
    const loggedIn = users.map((sessions) => sessions.filter(({ stored }) => stored !== undefined))
    // First what needs no writing, which a Redis that is full refuses.
    await this.#settle([this.#verifySessions(loggedIn)])
    if (restore) await this.#settle([this.#writeAgain(loggedIn.flat())])
  }

  /** Waits for all. What cannot be done is left to the slow round, or to another comparison when it may be done soon. */
  async #settle(works: readonly Promise<void>[]): Promise<void> {
    for (const result of await Promise.allSettled(works)) {
      if (result.status === 'fulfilled') continue
      const err: unknown = result.reason
      if (isAway(err)) throw err
      this.#refused ||= err instanceof SessionError && err.retryable
      this.#logger.debug({ err }, 'some sessions cannot be verified; the others are')
    }
  }

  /** Writes again what no comparison would show: index entries, and what devices have acknowledged. */
  async #writeAgain(clients: readonly ClientSession[]): Promise<void> {
    for (const { user, device, acknowledged } of clients) {
      if (acknowledged !== undefined) this.#cursors.save(user, device, acknowledged)
    }
    await this.#directory.reindex(clients.flatMap(({ stored }) => stored ?? []))
  }

  async #verifySessions(users: readonly (readonly ClientSession[])[]): Promise<void> {
    const entries = users.flatMap((sessions) => {
      const stored = sessions.flatMap((session) => session.stored ?? [])
      const [first] = stored
      return first === undefined ? [] : [{ user: first, sessions: stored, clients: sessions }]
    })
    if (entries.length === 0) return
    const results = await this.#directory.verify(entries)
    const stale: UserSession[] = []
    for (const [index, result] of results.entries()) {
      stale.push(...result.stale)
      for (const { delivery } of entries[index]?.clients ?? []) delivery.compare(result.inbox)
    }
    await this.#settle(stale.map((session) => this.#reassert(session)))
  }

  async #reassert(session: UserSession): Promise<void> {
    // It may have ended, or moved to another connection, since it was compared.
    if (this.#table.get(session.connectionId)?.stored !== session) return
    const result = await this.#directory.reassert(session)
    if (result.kept) {
      this.#metrics.reasserted.inc({ result: 'written' })
      this.#logins.evictDisplaced(result, session.clientType)
      // The connection may have ended while its session was being written.
      const client = this.#table.get(session.connectionId)
      if (client?.stored === undefined) await this.#directory.remove(result.session)
      else client.stored = result.session
    } else {
      this.#metrics.reasserted.inc({ result: result.reason })
      const bound = result.crowdedOut ? { maxDevices: this.#maxDevices } : {}
      const { connectionId } = session
      this.#logins.evict({ connectionId, code: result.reason, clientType: result.by.clientType, ...bound })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#closed = true
    await this.#working
  }
}

/** Whether no Redis answers, be it while a session was being written. */
function isAway(error: unknown): boolean {
  if (!(error instanceof SessionError)) return false
  if (error.code === 'session_unknown') return isAway(error.cause)
  return error.code === 'redis_unavailable' || error.code === 'redis_loading'
}

/** The next items of an iterator, at most so many. */
function take<Item>(items: Iterator<Item>, most: number): Item[] {
  const taken: Item[] = []
  while (taken.length < most) {
    const next = items.next()
    if (next.done === true) break
    taken.push(next.value)
  }
  return taken
}
