import type { Place } from '../bus/bus-record.ts'
import type { UserRef } from '../../session/user-session.ts'

const MAX_ENTRIES = 100_000

/** Which brokers hold devices of a user, believed for a short time. Only transient messages rely on it. */
export class RouteCache {
  /** In order of insertion, which is the order of expiry. */
  readonly #routes = new Map<string, { readonly places: readonly Place[]; readonly expiresAt: number }>()
  readonly #lookups = new Map<string, Promise<readonly Place[]>>()
  readonly #lifetimeMs: number

  constructor(lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs
  }

  get(user: UserRef): readonly Place[] | undefined {
    const route = this.#routes.get(keyOf(user))
    return route !== undefined && route.expiresAt > performance.now() ? route.places : undefined
  }

  /**
   * Reads the route of a user and keeps it. Who asks meanwhile waits for the same answer: one message must not overtake another
   * because the second lookup ended first.
   */
  lookUp(user: UserRef, read: () => Promise<readonly Place[]>): Promise<readonly Place[]> {
    const key = keyOf(user)
    const underWay = this.#lookups.get(key)
    if (underWay !== undefined) return underWay
    const lookup = this.#lookUp(user, read).finally(() => {
      if (this.#lookups.get(key) === lookup) this.#lookups.delete(key)
    })
    this.#lookups.set(key, lookup)
    return lookup
  }

  async #lookUp(user: UserRef, read: () => Promise<readonly Place[]>): Promise<readonly Place[]> {
    const places = await read()
    this.set(user, places)
    return places
  }

  set(user: UserRef, places: readonly Place[]): void {
    this.#routes.delete(keyOf(user))
    this.#routes.set(keyOf(user), { places, expiresAt: performance.now() + this.#lifetimeMs })
    for (const [key, { expiresAt }] of this.#routes) {
      if (expiresAt > performance.now() && this.#routes.size <= MAX_ENTRIES) break
      this.#routes.delete(key)
    }
  }

  /** The route has proved wrong. What is being read already may be that very one. */
  delete(user: UserRef): void {
    this.#lookups.delete(keyOf(user))
    this.#routes.delete(keyOf(user))
  }
}

function keyOf({ appId, userId }: UserRef): string {
  return `${appId}:${userId}`
}
