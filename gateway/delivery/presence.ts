import { ProtocolError } from '../../protocol/errors.ts'
import { limits, type FrameOf } from '../../protocol/frames.ts'
import { parseIncarnation, type Lease } from '../../session/brokers/broker.ts'
import type { Directory } from '../../session/directory.ts'
import type { ClientSession } from './client-session.ts'
import { toProtocolError } from '../refusal.ts'

/** Answers who is online. */
export class Presence {
  readonly #directory: Directory
  readonly #readLeases: (brokerIds: readonly string[]) => Promise<ReadonlyMap<string, Lease>>

  constructor(directory: Directory, readLeases: (brokerIds: readonly string[]) => Promise<ReadonlyMap<string, Lease>>) {
    this.#directory = directory
    this.#readLeases = readLeases
  }

  /**
   * A session counts while its broker lives: one of a killed gateway ends with that gateway's lease, before anybody has
   * cleaned it. Never rejects.
   */
  async answer({ connection, user }: ClientSession, { requestId, userIds }: FrameOf<'presence'>): Promise<void> {
    try {
      if (userIds.length === 0 || userIds.length > limits.presenceUsers) throw new ProtocolError('presence_too_large')
      for (const userId of userIds) {
        const bytes = Buffer.byteLength(userId)
        if (bytes === 0 || bytes > limits.userId) throw new ProtocolError('recipient_invalid')
      }
      const users = userIds.map((userId) => ({ appId: user.appId, userId }))
      const sessions = await this.#directory.sessionsOf(users)
      const brokerIds = new Set(sessions.flat().map(({ brokerId }) => brokerId))
      const leases = await this.#readLeases([...brokerIds])
      const states = userIds.map((userId, index) => {
        const online = (sessions[index] ?? []).filter(
          ({ brokerId, incarnation }) => leases.get(brokerId)?.bootId === parseIncarnation(incarnation).bootId,
        )
        return { userId, clientTypes: [...new Set(online.map(({ clientType }) => clientType))] }
      })
      connection.send({ type: 'presenceState', requestId, users: states })
    } catch (error) {
      connection.refuse(requestId, toProtocolError(error))
    }
  }
}
