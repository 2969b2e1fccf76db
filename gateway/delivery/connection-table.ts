import type { UserRef } from '../../session/user-session.ts'
import type { ClientSession } from './client-session.ts'

const NOBODY: readonly ClientSession[] = []

/** Every login of this gateway, also one under way, by connection and by user. */
export class ConnectionTable {
  readonly #byConnection = new Map<string, ClientSession>()
  /** Most users have one: an array takes a fifth of what a Set does. Copied at each change, so that loops may go on over it. */
  readonly #byUser = new Map<string, readonly ClientSession[]>()

  get size(): number {
    return this.#byConnection.size
  }

  add(session: ClientSession): void {
    this.#byConnection.set(session.connection.id, session)
    const key = userKey(session.user)
    const ofUser = this.#byUser.get(key)
    this.#byUser.set(key, ofUser === undefined ? [session] : [...ofUser, session])
  }

  remove(session: ClientSession): void {
    this.#byConnection.delete(session.connection.id)
    const key = userKey(session.user)
    const left = this.#byUser.get(key)?.filter((other) => other !== session) ?? []
    if (left.length > 0) this.#byUser.set(key, left)
    else this.#byUser.delete(key)
  }

  get(connectionId: string): ClientSession | undefined {
    return this.#byConnection.get(connectionId)
  }

  /** The user's connections here; an empty list when there is none. */
  ofUser(user: UserRef): readonly ClientSession[] {
    return this.#byUser.get(userKey(user)) ?? NOBODY
  }

  all(): Iterable<ClientSession> {
    return this.#byConnection.values()
  }

  /**
   * The connections of each user who is here at the first step and still at theirs, so that a round can go on where it stopped. By
   * names: an iterator of the map that stands still keeps all alive that the map had when it grew or shrank.
   */
  *users(): Iterable<readonly ClientSession[]> {
    for (const key of Array.from(this.#byUser.keys())) {
      const sessions = this.#byUser.get(key)
      if (sessions !== undefined) yield sessions
    }
  }
}

function userKey({ appId, userId }: UserRef): string {
  return `${appId}:${userId}`
}
