import { ProtocolError } from '../../protocol/errors.ts'
import { limits, type FrameOf } from '../../protocol/frames.ts'
import type { Directory } from '../../session/directory.ts'
import type { Inbox } from '../../session/inbox/inbox.ts'
import type { UserRef } from '../../session/user-session.ts'
import type { Bus } from '../bus/bus.ts'
import { findPlaces, findProcesses, MAX_TRIED, type BusRecord, type Place } from '../bus/bus-record.ts'
import type { ClientSession } from './client-session.ts'
import type { ConnectionTable } from './connection-table.ts'
import { EncodedFrame } from '../net/encoded-frame.ts'
import { INBOX } from './inbox-delivery.ts'
import { toProtocolError } from '../refusal.ts'
import type { Metrics } from '../metrics.ts'
import type { RouteCache } from './route-cache.ts'
import { writeTransient } from './slow-consumer.ts'

export interface RouterContext {
  readonly brokerId: string
  readonly maxFrameBytes: number
  readonly table: ConnectionTable
  readonly inbox: Inbox
  readonly directory: Directory
  readonly bus: Bus
  readonly routes: RouteCache
  /** Told of users whom the directory, or another broker, takes to be here and who are not. */
  readonly ghosts: { suspect(user: UserRef): void }
  readonly metrics: Metrics
}

/** Brings messages to the devices of their recipient: local ones directly, others over the bus. */
export class Router {
  readonly #context: RouterContext

  constructor(context: RouterContext) {
    this.#context = context
  }

  /** Handles a send and answers it. Never rejects. */
  async send(from: ClientSession, frame: FrameOf<'send'>): Promise<void> {
    try {
      checkSend(from, frame, this.#context.maxFrameBytes - limits.payloadMargin)
      if (frame.durable) await this.#sendDurable(from, frame)
      else await this.#sendTransient(from, frame)
    } catch (error) {
      from.connection.refuse(frame.requestId, toProtocolError(error))
    }
  }

  /** A durable message that another broker appended; without its frame it is read from the stream. */
  push(user: UserRef, epoch: string, seq: number, frame?: EncodedFrame): void {
    if (!this.#pushDurable(user, epoch, seq, frame)) this.#context.ghosts.suspect(user)
  }

  /** A transient message from another broker, which hears of it when the user is not here. */
  transient({ appId, userId, tried }: BusRecord & { type: 'transient' }, frame: EncodedFrame, from: Place): void {
    const user = { appId, userId }
    if (this.#pushTransient(user, frame)) return
    this.#context.ghosts.suspect(user)
    if (from.brokerId !== '') this.#context.bus.publish(from, { type: 'notHere', appId, userId, tried }, frame.binary)
  }

  /**
   * A transient message came back: the route was old. Sends it to the brokers of the new one that had no copy yet. Never
   * rejects: without Redis it is dropped.
   */
  async reroute({ appId, userId, tried }: BusRecord & { type: 'notHere' }, frame: EncodedFrame): Promise<void> {
    const user = { appId, userId }
    this.#context.routes.delete(user)
    const places = await this.#route(user).catch((): readonly Place[] => [])
    const missed = places.filter(({ brokerId }) => !tried.includes(brokerId)).slice(0, MAX_TRIED - tried.length)
    if (missed.length === 0) this.#context.metrics.dropped.inc({ reason: 'not_here' })
    else this.#publishTransient(user, missed, [...tried, ...missed.map(({ brokerId }) => brokerId)], frame)
  }

  async #sendDurable({ connection, draft }: ClientSession, frame: FrameOf<'send'>): Promise<void> {
    const { brokerId, inbox, bus, ghosts, metrics } = this.#context
    const to = { appId: draft.appId, userId: frame.to }
    const { userId: from, clientType } = draft
    const { messageId, payload } = frame
    const startedAt = performance.now()
    const { seq, epoch, sentAt, duplicate, brokers } = await inbox.append({ to, from, clientType, messageId, payload })
    metrics.appendSeconds.observe((performance.now() - startedAt) / 1000)
    metrics.accepted.inc(duplicate ? 'duplicate' : 'durable')
    connection.send({ type: 'accepted', requestId: frame.requestId, seq, sentAt, duplicate })

    // A retry is pushed again: the gateway that took the first one may have died before its push. Whoever has it drops it.
    const message = EncodedFrame.of({
      type: 'message',
      stream: INBOX,
      seq,
      from,
      clientType,
      messageId,
      sentAt,
      payload,
    })
    const here = this.#pushDurable(to, epoch, seq, message)
    if (!here && brokers.some((broker) => broker.brokerId === brokerId)) ghosts.suspect(to)
    const { appId, userId } = to
    for (const place of findProcesses(brokers, brokerId)) {
      bus.publish(place, { type: 'push', appId, userId, epoch, seq }, message.binary)
    }
  }

  async #sendTransient({ connection, draft }: ClientSession, frame: FrameOf<'send'>): Promise<void> {
    const { brokerId, routes, ghosts, metrics } = this.#context
    const to = { appId: draft.appId, userId: frame.to }
    const { userId: from, clientType } = draft
    const { messageId, payload } = frame
    const sentAt = Date.now()
    const message = EncodedFrame.of({
      type: 'message',
      stream: INBOX,
      seq: 0,
      from,
      clientType,
      messageId,
      sentAt,
      payload,
    })
    const places = routes.get(to) ?? (await this.#route(to))
    const here = this.#pushTransient(to, message)
    if (!here && places.some((place) => place.brokerId === brokerId)) ghosts.suspect(to)
    const others = places.filter((place) => place.brokerId !== brokerId).slice(0, MAX_TRIED - 1)
    if (others.length > 0)
      this.#publishTransient(to, others, [brokerId, ...others.map((place) => place.brokerId)], message)
    metrics.accepted.inc('transient')
    connection.send({ type: 'accepted', requestId: frame.requestId, seq: 0, sentAt, duplicate: false })
  }

  /** Which brokers hold devices of the user, by the directory. */
  #route(user: UserRef): Promise<readonly Place[]> {
    const { routes, directory } = this.#context
    return routes.lookUp(user, async () => {
      const [sessions = []] = await directory.sessionsOf([user])
      return findPlaces(sessions, '').map(({ brokerId, incarnation }) => ({ brokerId, incarnation }))
    })
  }

  #publishTransient(user: UserRef, places: readonly Place[], tried: string[], frame: EncodedFrame): void {
    const { bus, metrics } = this.#context
    const { appId, userId } = user
    for (const place of places) {
      const lost = bus.publish(place, { type: 'transient', appId, userId, tried }, frame.binary)
      if (lost !== undefined) metrics.dropped.inc({ reason: lost })
    }
  }

  /** @returns whether the user has a device here, or one that logs in */
  #pushDurable(user: UserRef, epoch: string, seq: number, frame?: EncodedFrame): boolean {
    let here = false
    for (const { delivery } of this.#context.table.ofUser(user)) {
      here = true
      delivery.push(epoch, seq, frame)
    }
    return here
  }

  /** @returns whether the user has a device here */
  #pushTransient(user: UserRef, frame: EncodedFrame): boolean {
    let here = false
    for (const { connection, stored } of this.#context.table.ofUser(user)) {
      if (stored === undefined) continue
      here = true
      writeTransient(connection, frame, this.#context.metrics)
    }
    return here
  }
}

function checkSend({ draft }: ClientSession, frame: FrameOf<'send'>, maxPayloadBytes: number): void {
  const { to, durable, messageId, payload } = frame
  const toBytes = Buffer.byteLength(to)
  if (toBytes === 0 || toBytes > limits.userId) throw new ProtocolError('recipient_invalid')
  if (to === draft.userId) throw new ProtocolError('recipient_self')
  const idBytes = Buffer.byteLength(messageId)
  if (idBytes > limits.messageId || (durable && idBytes === 0)) throw new ProtocolError('message_id_invalid')
  if (payload.length > maxPayloadBytes) {
    throw new ProtocolError('payload_too_large', `a payload may have ${maxPayloadBytes} bytes at most`)
  }
}
