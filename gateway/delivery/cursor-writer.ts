import type { CursorEntry, Inbox } from '../../session/inbox/inbox.ts'
import { deviceField } from '../../session/keys.ts'
import type { Cursor } from '../../session/inbox/stream-state.ts'
import type { Device, UserRef } from '../../session/user-session.ts'
import type { Logger } from '../logger.ts'

const FLUSH_MS = 500
const BATCH = 500

/**
 * Writes cursors to Redis, many acknowledgements as one: only the furthest of a device counts. What cannot be written waits
 * for Redis; there is at most one entry for each device that this gateway served meanwhile.
 */
export class CursorWriter implements AsyncDisposable {
  readonly #inbox: Inbox
  readonly #logger: Logger
  readonly #entries = new Map<string, CursorEntry>()
  readonly #timer: NodeJS.Timeout
  #flushing: Promise<void> | undefined

  constructor(inbox: Inbox, logger: Logger) {
    this.#inbox = inbox
    this.#logger = logger
    this.#timer = setInterval(() => void this.flush(), FLUSH_MS)
  }

  save(user: UserRef, device: Device, { epoch, seq }: Cursor): void {
    const key = `${user.appId}:${deviceField(device)}:${user.userId}`
    const waiting = this.#entries.get(key)
    if (waiting?.epoch !== epoch || waiting.seq < seq) this.#entries.set(key, { user, device, epoch, seq })
  }

  /** Writes what is waiting. Never rejects. */
  flush(): Promise<void> {
    return (this.#flushing ??= this.#write().finally(() => (this.#flushing = undefined)))
  }

  async #write(): Promise<void> {
    try {
      while (this.#entries.size > 0) {
        const batch = [...this.#entries].slice(0, BATCH)
        await this.#inbox.saveCursors(batch.map(([, entry]) => entry))
        // A newer acknowledgement may have come meanwhile; it stays.
        for (const [key, entry] of batch) if (this.#entries.get(key) === entry) this.#entries.delete(key)
      }
    } catch (err) {
      this.#logger.debug({ err, waiting: this.#entries.size }, 'cursors cannot be written; trying again')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#flushing
    await this.flush()
  }
}
