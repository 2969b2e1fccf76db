import type { UserRef } from '../../session/user-session.ts'
import type { ClientSession } from './client-session.ts'

/** Every login of this gateway, also one under way, by connection and by user. */
export class ConnectionTable {
  readonly #byConnection = new Map<string, ClientSession>()
  readonly #byUser = new Map<string, Set<ClientSession>>()

  get size(): number {
    return this.#byConnection.size
  }

  add(session: ClientSession): void {
    this.#byConnection.set(session.connection.id, session)
    const key = userKey(session.user)
    const ofUser = this.#byUser.get(key)
    if (ofUser === undefined) this.#byUser.set(key, new Set([session]))
    else ofUser.add(session)
  }

  remove(session: ClientSession): void {
    this.#byConnection.delete(session.connection.id)
    const key = userKey(session.user)
    const ofUser = this.#byUser.get(key)
    ofUser?.delete(session)
    if (ofUser?.size === 0) this.#byUser.delete(key)
  }

  get(connectionId: string): ClientSession | undefined {
    return this.#byConnection.get(connectionId)
  }

  /** The user's connections here; an empty list when there is none. */
  ofUser(user: UserRef): Iterable<ClientSession> {
    return this.#byUser.get(userKey(user)) ?? []
  }

  all(): Iterable<ClientSession> {
    return this.#byConnection.values()
  }

  /** Users in a stable order that newcomers join at the end of, so that a round can go on where it stopped. */
  users(): Iterable<ReadonlySet<ClientSession>> {
    return this.#byUser.values()
  }
}

function userKey({ appId, userId }: UserRef): string {
  return `${appId}:${userId}`
}
