import { SessionError } from './errors.ts'

/** A person in a tenant. */
export interface UserRef {
  readonly appId: number
  readonly userId: string
}

/** One installation of a client: `clientType` as in protocol/frames.ts, `imei` the installation's id. */
export interface Device {
  readonly clientType: number
  readonly imei: string
}

/** `connectState` of a session. */
export const ONLINE = 1
export const OFFLINE = 2

/** One logged-in device, as the directory stores it: which broker and which connection hold it. */
export interface UserSession extends UserRef, Device {
  readonly version: string
  /** 1 online, 2 offline. */
  readonly connectState: 1 | 2
  readonly brokerId: string
  readonly brokerHost: string
  /** `<podUid>/<bootId>` of the process that holds, or held, the connection. */
  readonly incarnation: string
  readonly connectionId: string
  /** Milliseconds since 1970 by Redis' clock; unique and rising within a user. */
  readonly loginAt: number
}

/** What a gateway knows before the directory has accepted a login. */
export type SessionDraft = Omit<UserSession, 'connectState' | 'loginAt'>

const isText = (value: unknown) => typeof value === 'string'
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0
/** What each field must be. By hand: a session is read for each device of each message. */
const checks: Readonly<Record<keyof UserSession, (value: unknown) => boolean>> = {
  appId: isCount,
  userId: isText,
  clientType: (value) => isCount(value) && (value as number) <= 255,
  imei: isText,
  version: isText,
  connectState: (value) => value === ONLINE || value === OFFLINE,
  brokerId: isText,
  brokerHost: isText,
  incarnation: isText,
  connectionId: isText,
  loginAt: Number.isSafeInteger,
}
const fields = Object.entries(checks)

/**
 * Reads a stored session. Unknown fields stay out of sight: a later version may have added them.
 *
 * @throws SessionError `session_malformed`
 */
export function parseUserSession(json: string): UserSession {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new SessionError('session_malformed', 'a stored session is not JSON', { cause })
  }
  const found = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const bad = fields.filter(([name, check]) => !check(found[name]))
  if (bad.length > 0) {
    const names = bad.map(([name]) => name).join(', ')
    throw new SessionError('session_malformed', `a stored session has bad fields: ${names}`)
  }
  const { appId, userId, clientType, imei, version, connectState } = found as unknown as UserSession
  const { brokerId, brokerHost, incarnation, connectionId, loginAt } = found as unknown as UserSession
  const place = { brokerId, brokerHost, incarnation, connectionId, loginAt }
  return { appId, userId, clientType, imei, version, connectState, ...place }
}

/** The JSON that the directory stores. */
export function formatUserSession(session: UserSession): string {
  return JSON.stringify(session)
}

/** Whether both name the same installation of the same kind of client. */
export function isSameDevice(a: Device, b: Device): boolean {
  return a.clientType === b.clientType && a.imei === b.imei
}

/**
 * Whether `a` logged in after `b`. Equal times, possible when Redis lost its data, are ordered by connectionId so that
 * every gateway decides alike.
 */
export function isNewer(a: UserSession, b: UserSession): boolean {
  return a.loginAt === b.loginAt ? a.connectionId > b.connectionId : a.loginAt > b.loginAt
}
