import { createHmac } from 'node:crypto'
import type { MessageKind, Wire } from './wires/wire.ts'
import { wires, type WireName } from './wires/wires.ts'

export interface GroupOptions {
  readonly wire: WireName
  /** In turn. */
  readonly urls: readonly string[]
  readonly count: number
  /** Logins under way at once. */
  readonly atOnce: number
  /** Of the user ids, and so of users that no other group has. */
  readonly prefix: string
  /** Signs a token for each; without it the peer believes who somebody says to be. */
  readonly secret?: string
  /** How often each user pings, at times that are spread evenly; never without it. */
  readonly pingMs?: number
}

/** Users who are logged in and only rest. Disposing it closes the connections. */
export interface Group extends Disposable {
  /** Connections that were lost since. */
  readonly lost: number
}

const TICKS_PER_ROUND = 100
const silent: MessageKind = { inFlight: 1, payloadBytes: 16, durable: false }

/** Logs in users; rejects when one is refused. */
export async function openGroup(options: GroupOptions): Promise<Group> {
  const { wire, urls, count, atOnce, prefix, secret, pingMs } = options
  const opened: Wire[] = []
  let lost = 0
  const handlers = {
    onMessage: () => undefined,
    onAnswer: () => undefined,
    onFailed: () => {
      lost += 1
    },
  }
  const tokens = Array.from({ length: count }, (_, index) => secret && signToken(secret, `${prefix}${index}`))
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) {
      const index = next++
      const user = { userId: `${prefix}${index}`, token: tokens[index] }
      opened.push(await wires[wire].open(urls[index % urls.length] ?? '', user, silent, handlers))
    }
  }
  let tick = 0
  const ping = () => {
    for (let index = tick; index < opened.length; index += TICKS_PER_ROUND) opened[index]?.ping()
    tick = (tick + 1) % TICKS_PER_ROUND
  }
  const pings = pingMs === undefined ? undefined : setInterval(ping, pingMs / TICKS_PER_ROUND)
  const close = () => {
    clearInterval(pings)
    for (const one of opened) one.close()
  }
  try {
    await Promise.all(Array.from({ length: atOnce }, work))
  } catch (error) {
    close()
    throw error
  }
  return {
    get lost() {
      return lost
    },
    [Symbol.dispose]: close,
  }
}

/** An HS256 token, as a backend makes one: of app 1, valid for a day. */
function signToken(secret: string, userId: string): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: userId, app: 1, iat: now, exp: now + 86_400 })}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}
