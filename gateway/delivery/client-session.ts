import type { Cursor } from '../../session/inbox/stream-state.ts'
import type { Device, SessionDraft, UserRef, UserSession } from '../../session/user-session.ts'
import type { Connection } from '../net/connection.ts'
import type { InboxDelivery } from './inbox-delivery.ts'

/** A device that is logged in, or logging in, over one connection. */
export class ClientSession {
  readonly connection: Connection
  readonly draft: SessionDraft
  readonly delivery: InboxDelivery
  /** What the directory holds for it; absent while the login is under way. */
  stored: UserSession | undefined
  /** What the device has acknowledged over this connection. */
  acknowledged: Cursor | undefined

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
    this.connection.expireAt(expiresAt)
  }

  end(): void {
    this.delivery.end()
  }
}
