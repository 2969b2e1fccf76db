import { z } from 'zod'
import { clientTypes } from '../protocol/frames.ts'
import { SessionError } from './errors.ts'
import { defaults } from './defaults.ts'
import { isNewer, isSameDevice, ONLINE, type Device, type UserSession } from './user-session.ts'

/** Devices of these client types share `limit` places. */
export interface DeviceClass {
  readonly name: string
  readonly clientTypes: readonly number[]
  readonly limit: number
}

/** Which devices of one user may be online at once. Client types in no class are limited by `maxDevices` alone. */
export interface DevicePolicy {
  readonly classes: readonly DeviceClass[]
  /** The most devices of one user, of whatever class; 64 by default, at most MAX_DEVICES. */
  readonly maxDevices?: number
}

/** No cluster may allow more: a login reads and compares all of them, and as many again may be away with their cursors. */
export const MAX_DEVICES = 128

const typeNumber = (name: (typeof clientTypes)[number]) => clientTypes.indexOf(name)
const [web, ios, android] = [typeNumber('web'), typeNumber('ios'), typeNumber('android')]
const [windows, macos] = [typeNumber('windows'), typeNumber('macos')]

/** The policies with a name. `api` devices are programs: only `single` counts them. */
export const devicePolicies = {
  single: { classes: [{ name: 'any', clientTypes: clientTypes.map(typeNumber), limit: 1 }] },
  dual: {
    classes: [
      { name: 'native', clientTypes: [ios, android, windows, macos], limit: 1 },
      { name: 'web', clientTypes: [web], limit: 1 },
    ],
  },
  triple: {
    classes: [
      { name: 'phone', clientTypes: [ios, android], limit: 1 },
      { name: 'desktop', clientTypes: [windows, macos], limit: 1 },
      { name: 'web', clientTypes: [web], limit: 1 },
    ],
  },
  unlimited: { classes: [] },
} as const satisfies Record<string, DevicePolicy>

const table = z
  .strictObject({
    classes: z.array(
      z.strictObject({
        name: z.string().min(1).max(64),
        clientTypes: z
          .array(
            z
              .int()
              .min(0)
              .max(clientTypes.length - 1),
          )
          .min(1),
        limit: z.int().min(1).max(MAX_DEVICES),
      }),
    ),
  })
  .superRefine(({ classes }, context) => {
    const owners = new Map<number, string>()
    for (const [index, { name, clientTypes }] of classes.entries()) {
      for (const clientType of clientTypes) {
        const owner = owners.get(clientType)
        if (owner === undefined) owners.set(clientType, name)
        else {
          const message = `clientType ${clientType} is in "${owner}" and in "${name}"`
          context.addIssue({ code: 'custom', path: ['classes', index, 'clientTypes'], message })
        }
      }
    }
  })

/**
 * Reads a policy: one of the names, or JSON `{"classes":[{"name":"phone","clientTypes":[2,3],"limit":2}]}`.
 *
 * @throws SessionError `policy_invalid`, naming every mistake
 */
export function parseDevicePolicy(text: string): DevicePolicy {
  const name = text.trim()
  if (Object.hasOwn(devicePolicies, name)) return devicePolicies[name as keyof typeof devicePolicies]
  let value: unknown
  try {
    value = JSON.parse(name)
  } catch (cause) {
    const names = Object.keys(devicePolicies).join(', ')
    throw new SessionError('policy_invalid', `the device policy is neither one of ${names} nor JSON`, { cause })
  }
  const parsed = table.safeParse(value)
  if (parsed.success) return parsed.data
  const mistakes = parsed.error.issues.map(({ path, message }) => `${path.join('.') || '(root)'}: ${message}`)
  throw new SessionError('policy_invalid', `the device policy is wrong: ${mistakes.join('; ')}`)
}

/** What a login does to the user's other sessions. */
export interface LoginDecision {
  /** The same device over another connection. It counts as no second device. */
  readonly replaced?: UserSession
  /** The oldest sessions that have to leave so that the new one has a place. */
  readonly displaced: readonly UserSession[]
  /** Those of `displaced` that have to leave only because the user has as many devices as one may have. */
  readonly crowdedOut: readonly UserSession[]
}

/** Decides a login. Only sessions that are online count. */
export function decideLogin(
  policy: DevicePolicy,
  sessions: readonly UserSession[],
  { device }: { device: Device },
): LoginDecision {
  const online = sessions.filter((session) => session.connectState === ONLINE)
  const replaced = online.find((session) => isSameDevice(session, device))
  const rest = online.filter((session) => session !== replaced).toSorted((a, b) => (isNewer(a, b) ? 1 : -1))
  const displaced = new Set<UserSession>()
  const makeRoom = (rivals: UserSession[], limit: number) => {
    for (const session of rivals.slice(0, Math.max(0, rivals.length + 1 - limit))) displaced.add(session)
  }
  const own = classOf(policy, device)
  if (own) makeRoom(rest.filter(isIn(own)), own.limit)
  const staying = rest.filter((session) => !displaced.has(session))
  const byPolicy = displaced.size
  makeRoom(staying, maxDevicesOf(policy))
  const all = [...displaced]
  return { ...(replaced && { replaced }), displaced: all, crowdedOut: all.slice(byPolicy) }
}

/**
 * The newer session because of which `mine` may not stay, when Redis lost `mine` and meanwhile knows `sessions`: a later
 * login of the same device, be it offline again, or the one that took the last place of its class.
 */
export function findSuccessor(
  policy: DevicePolicy,
  sessions: readonly UserSession[],
  mine: UserSession,
): UserSession | undefined {
  const others = sessions.filter((session) => session.connectionId !== mine.connectionId && isNewer(session, mine))
  const same = others.find((session) => isSameDevice(session, mine))
  if (same) return same
  const newer = others.filter((session) => session.connectState === ONLINE).toSorted((a, b) => (isNewer(a, b) ? 1 : -1))
  const own = classOf(policy, mine)
  return (own && newer.filter(isIn(own))[own.limit - 1]) ?? newer[maxDevicesOf(policy) - 1]
}

/** The most devices that one user may have online. */
export function maxDevicesOf({ maxDevices = defaults.maxDevices }: DevicePolicy): number {
  return maxDevices
}

function classOf(policy: DevicePolicy, { clientType }: Device): DeviceClass | undefined {
  return policy.classes.find((deviceClass) => deviceClass.clientTypes.includes(clientType))
}

function isIn(deviceClass: DeviceClass): (device: Device) => boolean {
  return ({ clientType }) => deviceClass.clientTypes.includes(clientType)
}
