import type { UserRef } from '../../session/user-session.ts'
import { readsBinary } from './boot-id.ts'

/** The most brokers that a transient message goes to, its sender's included. */
export const MAX_TRIED = 128

/** What one broker tells another. Those marked with a frame carry one encoded `message` or `notice`. */
export type BusRecord =
  /** A durable message, for every device of the user. With a frame. */
  | (UserRef & { readonly type: 'push'; readonly epoch: string; readonly seq: number })
  /** The same without its frame, which is longer than NATS takes: to be read from the stream. */
  | (UserRef & { readonly type: 'head'; readonly epoch: string; readonly seq: number })
  /**
   * A message that is only pushed. `tried`: brokers that it has gone to already, so that a corrected route does not deliver it
   * twice. The sender hears `notHere` when the user has no device there. With a frame.
   */
  | (UserRef & { readonly type: 'transient'; readonly tried: readonly string[] })
  /** Answer to `transient`, which it returns: the route was old. With a frame. */
  | (UserRef & { readonly type: 'notHere'; readonly tried: readonly string[] })
  /** Another device of the user joined or left; not for the connection that is meant. With a frame. */
  | (UserRef & { readonly type: 'notice'; readonly connectionId: string })
  /** A connection lost its session to a newer login. */
  | {
      readonly type: 'evict'
      readonly connectionId: string
      readonly code: 'replaced' | 'displaced'
      readonly clientType: number
      /** The most devices of a user, when that was the reason. */
      readonly maxDevices?: number | undefined
    }

/** One process of a broker, to which records are sent; a session is one. The incarnation is '' where it is not known. */
export interface Place {
  readonly brokerId: string
  /** `<podUid>/<bootId>`, or the boot id alone. */
  readonly incarnation: string
}

/** Whether the loss of such a record has to be made up for. What is only pushed may be lost. */
export function isMissed({ type }: BusRecord): boolean {
  return type === 'push' || type === 'head' || type === 'evict'
}

/**
 * Each broker of these once, but for one: for what may be lost. Where two processes of a broker hold sessions, one of them is dead
 * and it is not known which: either stands for both, as what is for a former process is read, too, though not counted.
 */
export function findPlaces(sessions: readonly Place[], except: string): readonly Place[] {
  const places: Place[] = []
  for (const place of findProcesses(sessions, except))
    if (places.at(-1)?.brokerId !== place.brokerId) places.push(place)
  return places
}

/**
 * Each process of these once, but for those of one broker: for what is missed when it is lost, and does no harm when it comes twice.
 * Processes of one broker stand together. They are one place, with the incarnation '', where one of them reads JSON alone.
 */
export function findProcesses(sessions: readonly Place[], except: string): readonly Place[] {
  const [first] = sessions
  if (sessions.length === 1 && first !== undefined) return first.brokerId === except ? [] : sessions
  const brokers = new Map<string, Set<string>>()
  for (const { brokerId, incarnation } of sessions) {
    if (brokerId === except) continue
    const known = brokers.get(brokerId)
    if (known === undefined) brokers.set(brokerId, new Set([incarnation]))
    else known.add(incarnation)
  }
  return [...brokers].flatMap(([brokerId, all]) => {
    const incarnations = all.size === 1 || [...all].every(readsBinary) ? [...all] : ['']
    return incarnations.map((incarnation) => ({ brokerId, incarnation }))
  })
}
