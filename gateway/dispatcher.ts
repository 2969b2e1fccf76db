import type { CodeName } from '../protocol/codes.ts'
import { ProtocolError } from '../protocol/errors.ts'
import type { ClientFrame, FrameOf } from '../protocol/frames.ts'
import type { ClientSession } from './delivery/client-session.ts'
import type { Connection, ConnectionEvents } from './net/connection.ts'
import type { CursorWriter } from './delivery/cursor-writer.ts'
import { EncodedFrame } from './net/encoded-frame.ts'
import { INBOX } from './delivery/inbox-delivery.ts'
import type { LoginService } from './login/login-service.ts'
import type { MemoryBudget } from './memory/memory-budget.ts'
import { costOfPresence, costOfSend, REQUEST_BYTES } from './memory/memory-costs.ts'
import type { Newcomer } from './net/admission.ts'
import type { Presence } from './delivery/presence.ts'
import type { Router } from './delivery/router.ts'

/** The answer to every heartbeat. */
const PONG = EncodedFrame.of({ type: 'pong' })

/** A connection, and who has to know how far it is. */
interface Guest {
  readonly newcomer: Pick<Newcomer, 'asked' | 'leave'>
  /** From the login frame on; settles when the login has been accepted or refused. */
  login?: Promise<void>
  session?: ClientSession
}

/** Gives every frame to the part that handles it, and keeps the order: login first, the rest after it. */
export class Dispatcher implements ConnectionEvents {
  readonly #guests = new Map<Connection, Guest>()
  readonly #leaving = new Set<Promise<void>>()
  readonly #logins: LoginService
  readonly #router: Router
  readonly #presence: Presence
  readonly #cursors: CursorWriter
  readonly #memory: MemoryBudget
  #draining = false
  #refusal: AbortSignal | undefined

  constructor(logins: LoginService, router: Router, presence: Presence, cursors: CursorWriter, memory: MemoryBudget) {
    this.#logins = logins
    this.#router = router
    this.#presence = presence
    this.#cursors = cursors
    this.#memory = memory
  }

  /** How many connections there are, logged in or not. */
  get size(): number {
    return this.#guests.size
  }

  /**
   * From now on lets nobody in: who has not begun to log in is closed, and so is who still comes. Who has begun may have
   * been taken from the gateway that held him before, and must not be left without either.
   *
   * @returns the connections that stay, and when the login of each has ended
   */
  drain(): { readonly connection: Connection; readonly login: Promise<void> }[] {
    this.#draining = true
    return [...this.#guests].flatMap(([connection, { login }]) => {
      if (login !== undefined) return [{ connection, login }]
      connection.close('going_away')
      return []
    })
  }

  /** Lets nobody in until the signal aborts: other gateways have what this one lacks. Who is logged in stays. */
  refuseUntil(signal: AbortSignal): void {
    this.#refusal = signal
  }

  /** The connections that are logged in. */
  get loggedIn(): Connection[] {
    return [...this.#guests].flatMap(([connection, { session }]) => (session === undefined ? [] : [connection]))
  }

  get #refuses(): boolean {
    return this.#refusal?.aborted === false
  }

  closeAll(code: CodeName): void {
    for (const connection of this.#guests.keys()) connection.close(code)
  }

  /** No memory is left: nothing is read from anybody until there is. */
  stopReading(): void {
    for (const connection of this.#guests.keys()) connection.stopReading()
  }

  /** Waits until every session whose connection has ended is marked as offline, as far as Redis is there. */
  async left(): Promise<void> {
    while (this.#leaving.size > 0) await Promise.all(this.#leaving)
  }

  /** A new connection. `newcomer` is told when its login has come, and when it has a session. */
  opened(connection: Connection, newcomer: Guest['newcomer']): void {
    // Its handshake began before the listeners were closed.
    if (this.#draining) return connection.close('going_away')
    if (this.#refuses) return connection.close('cut_off')
    if (this.#memory.underPressure) return connection.close('overloaded')
    this.#guests.set(connection, { newcomer })
  }

  frame(connection: Connection, frame: ClientFrame): void {
    const guest = this.#guests.get(connection)
    if (guest === undefined) return
    const { session } = guest
    if (session === undefined) {
      if (frame.type !== 'login') throw new ProtocolError('login_required')
      if (this.#refuses) throw new ProtocolError('cut_off')
      if (this.#memory.underPressure) throw new ProtocolError('overloaded')
      guest.newcomer.asked()
      guest.login = this.#login(connection, guest, frame)
      return connection.hold(guest.login, REQUEST_BYTES, true)
    }
    switch (frame.type) {
      case 'send':
        return connection.hold(this.#router.send(session, frame), costOfSend(frame))
      case 'ack':
        return this.#acknowledge(session, frame)
      case 'presence':
        return connection.hold(this.#presence.answer(session, frame), costOfPresence(frame))
      case 'renew':
        return connection.hold(this.#logins.renew(session, frame), REQUEST_BYTES, true)
      case 'logout':
        return connection.hold(this.#logins.logout(session, frame), REQUEST_BYTES, true)
      case 'ping':
        return connection.sendEncoded(PONG)
      case 'pong':
        return
      case 'login':
        throw new ProtocolError('login_repeated')
    }
  }

  flushed(connection: Connection): void {
    this.#guests.get(connection)?.session?.delivery.flushed()
  }

  ended(connection: Connection): void {
    const session = this.#guests.get(connection)?.session
    this.#guests.delete(connection)
    if (session === undefined) return
    const leaving = this.#logins.leave(session).finally(() => this.#leaving.delete(leaving))
    this.#leaving.add(leaving)
  }

  async #login(connection: Connection, guest: Guest, frame: ClientFrame & { type: 'login' }): Promise<void> {
    const session = await this.#logins.login(connection, frame)
    if (session === undefined) return
    guest.session = session
    guest.newcomer.leave()
  }

  #acknowledge(session: ClientSession, { stream, epoch, seq }: FrameOf<'ack'>): void {
    const delivered = session.delivery.position
    // Sent before the client learned of a reset.
    if (epoch !== delivered.epoch) return
    if (stream !== INBOX || seq > delivered.seq) {
      throw new ProtocolError(
        'frame_malformed',
        'an ack must name the stream and the seq of a message that was delivered',
      )
    }
    session.acknowledged = { epoch, seq }
    this.#cursors.save(session.user, session.device, session.acknowledged)
  }
}
