import type { Directory } from '../../session/directory.ts'
import type { SessionDraft, UserSession } from '../../session/user-session.ts'
import type { Logger } from '../logger.ts'

const TICK_MS = 1_000
const BATCH = 500
/** Sessions kept as offline at once; past it the oldest are removed early. */
const MAX_OFFLINE = 100_000

/**
 * Sessions whose connection has ended here: each is marked offline, again until Redis takes it, and removed after its
 * retention; one whose login failed is removed at once. The directory compares the connection, so that a session that went
 * on elsewhere is left alone.
 */
export class EndedSessions implements AsyncDisposable {
  readonly #directory: Directory
  readonly #retentionMs: number
  readonly #logger: Logger
  readonly #undone = new Set<SessionDraft>()
  readonly #unmarked = new Set<UserSession>()
  /** In the order in which they left. */
  readonly #offline = new Map<UserSession, number>()
  readonly #timer: NodeJS.Timeout
  #working: Promise<void> | undefined

  constructor(directory: Directory, retentionMs: number, logger: Logger) {
    this.#directory = directory
    this.#retentionMs = retentionMs
    this.#logger = logger
    this.#timer = setInterval(() => this.#work(), TICK_MS)
  }

  /** Marks a session as offline, now if Redis is there. Never rejects. */
  async leave(session: UserSession): Promise<void> {
    try {
      await this.#mark(session)
    } catch {
      this.#unmarked.add(session)
    }
  }

  /** Removes what may have been stored of a login that failed, as soon as Redis is there. */
  undo(session: SessionDraft): void {
    this.#undone.add(session)
    this.retry()
  }

  /** Does now what Redis was away for. */
  retry(): void {
    this.#work()
  }

  async #mark(session: UserSession): Promise<void> {
    const mine = await this.#directory.setOffline(session)
    if (mine) this.#offline.set(session, performance.now() + this.#retentionMs)
    // Replaced, displaced or lost: nothing is left to remove but its index entry.
    else await this.#directory.remove(session)
    this.#unmarked.delete(session)
  }

  #work(): void {
    this.#working ??= this.#round()
      .catch((err: unknown) => this.#logger.debug({ err }, 'sessions cannot be ended; trying again'))
      .finally(() => (this.#working = undefined))
  }

  async #round(): Promise<void> {
    await Promise.all(
      firstOf(this.#undone).map(async (session) => {
        await this.#directory.remove(session)
        this.#undone.delete(session)
      }),
    )
    await Promise.all(firstOf(this.#unmarked).map((session) => this.#mark(session)))
    const now = performance.now()
    const surplus = this.#offline.size - MAX_OFFLINE
    const due = firstOf(this.#offline).filter(([, at], index) => at <= now || index < surplus)
    await Promise.all(
      due.map(async ([session]) => {
        await this.#directory.remove(session)
        this.#offline.delete(session)
      }),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#working
  }
}

function firstOf<Item>(items: Iterable<Item>): Item[] {
  const first: Item[] = []
  for (const item of items) {
    if (first.length === BATCH) break
    first.push(item)
  }
  return first
}
