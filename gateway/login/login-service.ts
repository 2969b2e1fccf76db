import { ProtocolError } from '../../protocol/errors.ts'
import { limits, clientTypes, type FrameOf } from '../../protocol/frames.ts'
import { formatIncarnation, type Incarnation } from '../../session/brokers/broker.ts'
import type { Directory, LoginResult } from '../../session/directory.ts'
import { SessionError } from '../../session/errors.ts'
import { resume, type Cursor, type StreamState } from '../../session/inbox/stream-state.ts'
import { isSameDevice, type SessionDraft, type UserRef, type UserSession } from '../../session/user-session.ts'
import type { Authenticate, Principal } from './auth.ts'
import type { Bus } from '../bus/bus.ts'
import { findPlaces } from '../bus/bus-record.ts'
import { ClientSession } from '../delivery/client-session.ts'
import type { Connection } from '../net/connection.ts'
import type { ConnectionTable } from '../delivery/connection-table.ts'
import type { CursorWriter } from '../delivery/cursor-writer.ts'
import type { EndedSessions } from './ended-sessions.ts'
import { EncodedFrame } from '../net/encoded-frame.ts'
import { InboxDelivery, type DeliveryContext } from '../delivery/inbox-delivery.ts'
import type { Logger } from '../logger.ts'
import { LoginTurns } from './login-turns.ts'
import type { Metrics } from '../metrics.ts'
import { REDIS_LOADING, toProtocolError } from '../refusal.ts'
import type { GatewaySettings } from '../settings.ts'

export interface LoginContext {
  readonly settings: GatewaySettings
  readonly incarnation: Incarnation
  readonly authenticate: Authenticate
  readonly directory: Directory
  readonly table: ConnectionTable
  readonly bus: Bus
  readonly cursors: CursorWriter
  readonly endedSessions: EndedSessions
  readonly delivery: DeliveryContext
  readonly metrics: Metrics
  readonly logger: Logger
  /** Whether this process surely still holds its lease: else a session written now might outlive its cleanup. */
  readonly holdsLease: () => boolean
  /** Whether Redis is there and still loads its data. */
  readonly redisLoads: () => boolean
}

/** Which connection lost its session, to a device of which clientType. `maxDevices`: the bound that was the reason, if it was. */
export interface Eviction {
  readonly connectionId: string
  readonly code: 'replaced' | 'displaced'
  readonly clientType: number
  readonly maxDevices?: number | undefined
}

/** The way of a session from login frame to departure. */
export class LoginService {
  readonly #context: LoginContext
  readonly #turns: LoginTurns

  constructor(context: LoginContext) {
    this.#context = context
    this.#turns = new LoginTurns(context.metrics)
  }

  /**
   * Logs a device in, starts its delivery, and evicts whom the device policy says.
   *
   * @returns the session, or undefined when the connection ended meanwhile or was closed with the reason
   */
  async login(connection: Connection, frame: FrameOf<'login'>): Promise<ClientSession | undefined> {
    const { settings, metrics, logger } = this.#context
    try {
      // Before any wait and any work: in an outage all come again and again.
      this.#checkDirectory()
      // A token may wait for a key set to be fetched, for seconds: it must not keep others waiting for their turn.
      const known = settings.authMode === 'jwks' ? await this.#authenticate(frame.token) : undefined
      const session = await this.#turns.run(() => this.#login(connection, frame, known))
      metrics.logins.inc({ result: session === undefined ? 'gone' : 'accepted' })
      return session
    } catch (error) {
      const reason = toProtocolError(error)
      metrics.logins.inc({ result: reason.code })
      logger.info({ connectionId: connection.id, code: reason.code, cause: causeOf(reason) }, 'a login was refused')
      // A device is to come back by itself once the foreign key is gone.
      const code = reason.code === 'storage_foreign' ? 'internal' : reason.code
      connection.close(code, { message: reason.message })
      return undefined
    }
  }

  /** Takes a new token for a session that goes on. */
  async renew(session: ClientSession, frame: FrameOf<'renew'>): Promise<void> {
    try {
      const principal = await this.#authenticate(frame.token)
      if (principal.appId !== session.user.appId || principal.userId !== session.user.userId) {
        throw new ProtocolError('token_invalid', 'the new token is of another user or app')
      }
      if (!session.connection.open) return
      session.expireWith(principal)
      session.connection.send({ type: 'renewed', requestId: frame.requestId, expiresAt: principal.expiresAt })
    } catch (error) {
      session.connection.refuse(frame.requestId, toProtocolError(error))
    }
  }

  /** Ends a session for good: the device has no session any more, not even as offline. */
  async logout(session: ClientSession, frame: FrameOf<'logout'>): Promise<void> {
    const { stored } = session
    if (stored === undefined) return
    // From now on the verifying round must not write it again.
    session.stored = undefined
    try {
      await this.#context.directory.remove(stored)
    } catch (error) {
      session.stored = stored
      session.connection.refuse(frame.requestId, toProtocolError(error))
      return
    }
    session.connection.close('logged_out')
    await this.#notify(stored, 'left')
  }

  /** The connection has ended: the session goes offline. Never rejects. */
  async leave(session: ClientSession): Promise<void> {
    const { table, cursors, endedSessions } = this.#context
    session.end()
    table.remove(session)
    const { stored } = session
    if (stored === undefined) return
    await Promise.all([cursors.flush(), endedSessions.leave(stored)])
    await this.#notify(stored, 'left')
  }

  /** The session lost its place to a newer login, here or at another broker. */
  evict({ connectionId, code, clientType, maxDevices }: Eviction): void {
    const message = maxDevices === undefined ? {} : { message: buildCrowdedMessage(maxDevices) }
    this.#context.table.get(connectionId)?.connection.close(code, { clientType, ...message })
  }

  /** @throws ProtocolError unavailable while Redis is away */
  #checkDirectory(): void {
    if (this.#context.holdsLease()) return
    throw new ProtocolError('unavailable', this.#context.redisLoads() ? REDIS_LOADING : undefined)
  }

  /** `known`: whom the token speaks for, where it has been checked already. */
  async #login(
    connection: Connection,
    frame: FrameOf<'login'>,
    known: Principal | undefined,
  ): Promise<ClientSession | undefined> {
    const { directory, table, endedSessions, logger } = this.#context
    // It gave up while it waited for its turn.
    if (!connection.open) return undefined
    const principal = known ?? (await this.#authenticate(frame.token))
    const draft = this.#buildDraft(connection, principal, frame)
    if (!connection.open) return undefined
    this.#checkDirectory()

    // In the table before the directory knows of it: from the commit on pushes and evictions may come.
    const session = new ClientSession(connection, draft, new InboxDelivery(connection, draft, this.#context.delivery))
    table.add(session)
    const result = await directory
      .login(draft, () => connection.open)
      .catch((error: unknown) => {
        table.remove(session)
        const code = error instanceof SessionError ? error.code : undefined
        // What it has, or may have, written: an index entry, and the session itself.
        if (code === 'session_unknown' || code === 'login_abandoned' || code === 'contended') endedSessions.undo(draft)
        if (code === 'login_abandoned') return undefined
        throw error
      })
    if (result === undefined) return undefined
    if (result.replaced !== undefined) this.#evict(result.replaced, 'replaced', draft.clientType)
    this.evictDisplaced(result, draft.clientType)
    if (!connection.open) {
      table.remove(session)
      await endedSessions.leave(result.session)
      return undefined
    }
    session.stored = result.session
    connection.admit()
    session.expireWith(principal)
    const { seq, from } = findStart(result.inbox, result.cursor, frame)
    this.#welcome(connection, frame.requestId, principal, seq, result.inbox)
    session.delivery.start(result.inbox, from)
    logger.debug({ connectionId: connection.id, appId: draft.appId, userId: draft.userId }, 'logged in')
    this.#tell(result.others, result.session, 'joined')
    return session
  }

  #authenticate(token: string): Promise<Principal> {
    if (token === '' || Buffer.byteLength(token) > limits.token) {
      throw new ProtocolError('token_invalid', `a token must have 1 to ${limits.token} bytes`)
    }
    return this.#context.authenticate(token)
  }

  #buildDraft(connection: Connection, principal: Principal, frame: FrameOf<'login'>): SessionDraft {
    const { clientType, imei, version } = frame
    const imeiBytes = Buffer.byteLength(imei)
    if (
      clientType >= clientTypes.length ||
      imeiBytes === 0 ||
      imeiBytes > limits.imei ||
      Buffer.byteLength(version) > limits.version
    ) {
      throw new ProtocolError('device_invalid')
    }
    const { incarnation } = this.#context
    return {
      appId: principal.appId,
      userId: principal.userId,
      clientType,
      imei,
      version,
      brokerId: incarnation.brokerId,
      brokerHost: incarnation.host,
      incarnation: formatIncarnation(incarnation),
      connectionId: connection.id,
    }
  }

  #welcome(
    connection: Connection,
    requestId: number,
    { appId, userId, expiresAt }: Principal,
    seq: number,
    { epoch, head }: { epoch: string; head: number },
  ): void {
    const { settings, incarnation } = this.#context
    const { heartbeatMs, maxFrameBytes } = settings
    const { brokerId } = incarnation
    const ids = { requestId, appId, userId, connectionId: connection.id, brokerId }
    connection.send({ type: 'loggedIn', ...ids, epoch, seq, head, heartbeatMs, expiresAt, maxFrameBytes })
  }

  /** Tells sessions, which the directory has removed already, that they are displaced by a device of this clientType. */
  evictDisplaced({ displaced, crowdedOut }: Pick<LoginResult, 'displaced' | 'crowdedOut'>, clientType: number): void {
    const { maxDevices } = this.#context.settings
    for (const session of displaced) {
      this.#evict(session, 'displaced', clientType, crowdedOut.includes(session) ? { maxDevices } : {})
    }
  }

  /** A lost eviction is made up for by the verifying round of the broker that holds the session. */
  #evict(
    session: UserSession,
    code: Eviction['code'],
    clientType: number,
    bound: Pick<Eviction, 'maxDevices'> = {},
  ): void {
    const eviction = { connectionId: session.connectionId, code, clientType, ...bound }
    if (session.brokerId === this.#context.incarnation.brokerId) this.evict(eviction)
    else this.#context.bus.publish(session, { type: 'evict', ...eviction })
  }

  /** Never rejects: without Redis the other devices are not told. */
  async #notify(session: UserSession, event: 'joined' | 'left'): Promise<void> {
    const [sessions = []] = await this.#context.directory.sessionsOf([session]).catch((): [] => [])
    // A device that went on over another connection has not left.
    if (!sessions.some((other) => isSameDevice(other, session))) this.#tell(sessions, session, event)
  }

  #tell(sessions: readonly UserSession[], about: UserSession, event: 'joined' | 'left'): void {
    const { clientType, imei, appId, userId, connectionId } = about
    const frame = EncodedFrame.of({ type: 'notice', event, clientType, imei })
    const { brokerId } = this.#context.incarnation
    if (sessions.some((session) => session.brokerId === brokerId)) this.notice(about, connectionId, frame)
    for (const place of findPlaces(sessions, brokerId)) {
      this.#context.bus.publish(place, { type: 'notice', appId, userId, connectionId }, frame.binary)
    }
  }

  /** Tells the user's connections here, except the one that it is about. */
  notice(user: UserRef, connectionId: string, frame: EncodedFrame): void {
    for (const { connection, stored } of this.#context.table.ofUser(user)) {
      if (stored !== undefined && connection.id !== connectionId && connection.takes(frame.size))
        connection.sendEncoded(frame)
    }
  }
}

/**
 * Where a device begins, `seq`, and what it goes on from: its own cursor, else the stored one, else what it chose.
 */
function findStart(
  inbox: StreamState,
  stored: Cursor | undefined,
  { epoch, seq, start }: FrameOf<'login'>,
): { seq: number; from: Cursor } {
  if (epoch !== '') return { seq: resume(inbox, { epoch, seq }).seq, from: { epoch, seq } }
  if (stored !== undefined) {
    const resumption = resume(inbox, stored)
    // It knows of no epoch but the one that it is told now; of a loss it has to hear.
    const from = resumption.lost ? stored : { epoch: inbox.epoch, seq: resumption.seq }
    return { seq: resumption.seq, from }
  }
  const first = start === 'head' ? inbox.head : inbox.earliest - 1
  return { seq: first, from: { epoch: inbox.epoch, seq: first } }
}

function buildCrowdedMessage(maxDevices: number): string {
  return `another device of the user logged in, and a user may have at most ${maxDevices} devices online, whatever the device policy`
}

function causeOf({ cause }: Error): string | undefined {
  return cause instanceof Error ? cause.message : undefined
}
