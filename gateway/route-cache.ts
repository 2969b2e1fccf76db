import type { UserRef } from '../session/user-session.ts'

const MAX_ENTRIES = 100_000

/** Which brokers hold devices of a user, believed for a short time. Only transient messages rely on it. */
export class RouteCache {
  /** In order of insertion, which is the order of expiry. */
  readonly #routes = new Map<string, { readonly brokerIds: readonly string[]; readonly expiresAt: number }>()
  readonly #lifetimeMs: number

  constructor(lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs
  }

  get(user: UserRef): readonly string[] | undefined {
    const route = this.#routes.get(keyOf(user))
    return route !== undefined && route.expiresAt > performance.now() ? route.brokerIds : undefined
  }

  set(user: UserRef, brokerIds: readonly string[]): void {
    this.delete(user)
    this.#routes.set(keyOf(user), { brokerIds, expiresAt: performance.now() + this.#lifetimeMs })
    for (const [key, { expiresAt }] of this.#routes) {
      if (expiresAt > performance.now() && this.#routes.size <= MAX_ENTRIES) break
      this.#routes.delete(key)
    }
  }

  delete(user: UserRef): void {
    this.#routes.delete(keyOf(user))
  }
}

function keyOf({ appId, userId }: UserRef): string {
  return `${appId}:${userId}`
}
