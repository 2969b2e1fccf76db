import type { Directory } from '../../session/directory.ts'
import type { UserSession } from '../../session/user-session.ts'
import type { ClientSession } from '../delivery/client-session.ts'
import type { ConnectionTable } from '../delivery/connection-table.ts'
import type { CursorWriter } from '../delivery/cursor-writer.ts'
import type { Logger } from '../logger.ts'
import type { LoginService } from '../login/login-service.ts'
import type { Metrics } from '../metrics.ts'
import type { GatewaySettings } from '../settings.ts'

const TICK_MS = 500
const BATCH = 500

/**
 * Compares what this gateway holds with what Redis holds, for a slice of its users all the time and for all of them when
 * something may have been lost: heads of the streams, so that a lost push is made up for, and sessions, so that those that
 * Redis lost are written again and those that lost their place leave (I3).
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
  #round: Iterator<ReadonlySet<ClientSession>> | undefined
  #everything = false
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
    this.#timer = setInterval(() => this.#start(), TICK_MS)
  }

  /** Asks for a round over everything, as soon as Redis can be read. Many calls at once ask for one round. */
  verifyAll(): void {
    this.#everything = true
    this.#start()
  }

  #start(): void {
    this.#working ??= this.#work()
      .catch((err: unknown) => this.#logger.debug({ err }, 'sessions cannot be verified; trying again'))
      .finally(() => (this.#working = undefined))
  }

  async #work(): Promise<void> {
    if (!this.#everything) return this.#verifySlice(Math.ceil((this.#table.size * TICK_MS) / this.#roundMs), false)
    this.#everything = false
    try {
      this.#round = undefined
      await this.#verifySlice(Infinity, true)
    } catch (error) {
      this.#everything = true
      throw error
    }
  }

  /** Verifies the next `count` users of the round, or what is left of it; with `lost`, Redis may have lost anything. */
  async #verifySlice(count: number, lost: boolean): Promise<void> {
    this.#round ??= this.#table.users()[Symbol.iterator]()
    let left = count
    while (left > 0 && !this.#closed) {
      const batch: ReadonlySet<ClientSession>[] = []
      while (batch.length < Math.min(left, BATCH)) {
        const next = this.#round.next()
        if (next.done === true) break
        batch.push(next.value)
      }
      const users = batch.map((sessions) => [...sessions].filter(({ stored }) => stored !== undefined))
      if (lost) await this.#restore(users.flat())
      await this.#verify(users)
      left -= batch.length
      if (batch.length < BATCH && left > 0) {
        this.#round = undefined
        return
      }
    }
  }

  /** Writes again what no comparison would show: index entries, and what devices have acknowledged. */
  async #restore(clients: readonly ClientSession[]): Promise<void> {
    await this.#directory.reindex(clients.flatMap(({ stored }) => stored ?? []))
    for (const { user, device, acknowledged } of clients) {
      if (acknowledged !== undefined) this.#cursors.save(user, device, acknowledged)
    }
  }

  async #verify(users: readonly (readonly ClientSession[])[]): Promise<void> {
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
      for (const { delivery } of entries[index]?.clients ?? []) {
        if (result.inbox !== undefined) delivery.compare(result.inbox)
      }
    }
    await Promise.all(stale.map((session) => this.#reassert(session)))
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
