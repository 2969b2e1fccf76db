import { deviceField } from './keys.ts'
import { ONLINE, parseUserSession, type UserRef, type UserSession } from './user-session.ts'

/** Told of a stored session that cannot be read. It is skipped: one bad value must not keep a user from logging in. */
export type OnGarbage = (error: unknown) => void

/** The readable sessions among the values of a user's hash. */
export function readSessions(user: UserRef, values: readonly (string | null)[], onGarbage: OnGarbage): UserSession[] {
  const sessions: UserSession[] = []
  for (const json of values) {
    if (json === null) continue
    try {
      const session = parseUserSession(json)
      if (session.userId === user.userId && session.appId === user.appId) sessions.push(session)
      else onGarbage(new Error('a stored session names another user'))
    } catch (error) {
      onGarbage(error)
    }
  }
  return sessions
}

/** The same for the flat content of a hash, field before value. A session under another device's field is no use. */
export function readSessionFields(user: UserRef, flat: readonly string[], onGarbage: OnGarbage): UserSession[] {
  const fields = new Map<string, string>()
  for (let at = 0; at + 1 < flat.length; at += 2) fields.set(flat[at] ?? '', flat[at + 1] ?? '')
  return readSessions(user, [...fields.values()], onGarbage).filter((session) => {
    const value = fields.get(deviceField(session))
    const fits = value !== undefined && fields.delete(deviceField(session))
    if (!fits) onGarbage(new Error('a stored session is under the field of another device'))
    return fits
  })
}

export function isOnline(session: UserSession): boolean {
  return session.connectState === ONLINE
}
