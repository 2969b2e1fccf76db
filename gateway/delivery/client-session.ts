import type { Cursor } from '../../session/inbox/stream-state.ts'
import type { Device, SessionDraft, UserRef, UserSession } from '../../session/user-session.ts'
import type { Connection } from '../net/connection.ts'
import type { InboxDelivery } from './inbox-delivery.ts'

/** The longest time that setTimeout takes. */
const MAX_TIMER_MS = 2_147_483_647

/** A device that is logged in, or logging in, over one connection. */
export class ClientSession {
  readonly connection: Connection
  readonly draft: SessionDraft
  readonly delivery: InboxDelivery
  /** What the directory holds for it; absent while the login is under way. */
  stored: UserSession | undefined
  /** What the device has acknowledged over this connection. */
  acknowledged: Cursor | undefined
  #expiryTimer: NodeJS.Timeout | undefined

  constructor(connection: Connection, draft: SessionDraft, delivery: InboxDelivery) {
    this.connection = connection
    this.draft = draft
    this.delivery = delivery
  }

  get user(): UserRef {
    return this.draft
  }

  get device(): Device {
    return this.draft
  }

  /** Closes the connection when the token expires, unless it is renewed by then. */
  expireWith({ expiresAt }: { readonly expiresAt: number }): void {
    clearTimeout(this.#expiryTimer)
    if (expiresAt === 0) return
    const left = expiresAt - Date.now()
    this.#expiryTimer = setTimeout(
      () => {
        if (left > MAX_TIMER_MS) this.expireWith({ expiresAt })
        else this.connection.close('token_expired')
      },
      Math.min(left, MAX_TIMER_MS),
    )
  }

  end(): void {
    clearTimeout(this.#expiryTimer)
    this.delivery.end()
  }
}
