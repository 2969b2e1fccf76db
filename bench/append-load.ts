// Appends to inboxes with the session/ of a checkout, and prints what that cost. Run by bench/append.ts, in a process of its
// own for each measurement. It uses session/ as of 0.2.0: whoever changes append, login or connectRedis there adapts this.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { nextTick } from 'node:process'
import { pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import type * as DevicePolicies from '../session/device-policy.ts'
import type * as Directories from '../session/directory.ts'
import type * as Inboxes from '../session/inbox.ts'
import type * as AllKeys from '../session/keys.ts'
import type * as Connections from '../session/redis.ts'
import type { AppendFigures, AppendLoad } from './append.ts'

const { redisUrl, folder, appends, users, pipeline, payload } = JSON.parse(process.argv[2] ?? '') as AppendLoad
const load = async (file: string): Promise<unknown> => import(pathToFileURL(join(folder, 'session', file)).href)
const { connectRedis, awaitReady } = (await load('redis.ts')) as typeof Connections
const { Keys } = (await load('keys.ts')) as typeof AllKeys
const { Inbox } = (await load('inbox.ts')) as typeof Inboxes
const { Directory } = (await load('directory.ts')) as typeof Directories
const { devicePolicies } = (await load('device-policy.ts')) as typeof DevicePolicies

const COMMAND_DEADLINE_MS = 10_000
const redis = connectRedis(redisUrl, {
  connectionName: 'bench',
  commandTimeoutMs: COMMAND_DEADLINE_MS,
  onError(error) {
    throw error
  },
})
await awaitReady(redis, COMMAND_DEADLINE_MS)
const observer = new Redis(redisUrl, { commandTimeout: COMMAND_DEADLINE_MS })
const keys = new Keys()
const inbox = new Inbox(redis, keys)
const bytes = new Uint8Array(payload)
const recipients = Array.from({ length: users }, (_, index) => ({ appId: 1, userId: `user-${index}` }))

async function logIn(): Promise<void> {
  const directory = new Directory(redis, keys, devicePolicies.unlimited)
  const incarnation = `${randomUUID()}/${randomUUID()}`
  const broker = { brokerId: 'bench-0', brokerHost: '127.0.0.1', incarnation }
  for (const user of recipients) {
    const device = { clientType: 1, imei: 'bench', version: '' }
    await directory.login({ ...user, ...device, ...broker, connectionId: randomUUID() })
  }
}

/** Appends `count` messages. Those of one pipeline are written to the connection at once, where the product has but one. */
async function append(count: number): Promise<void> {
  let done = 0
  while (done < count) {
    const batch = Math.min(pipeline, count - done)
    if ('stream' in redis) {
      const { stream } = redis
      stream.cork()
      nextTick(() => stream.uncork())
    }
    await Promise.all(
      Array.from({ length: batch }, async (_, index) => {
        const to = recipients[(done + index) % users]
        if (to) await inbox.append({ to, from: 'sender', clientType: 1, messageId: randomUUID(), payload: bytes })
      }),
    )
    done += batch
  }
}

/** All in µs. */
async function readCosts(): Promise<AppendFigures> {
  const cpu = await observer.info('cpu')
  const seconds = readNumber(cpu, /^used_cpu_user:(\S+)/m) + readNumber(cpu, /^used_cpu_sys:(\S+)/m)
  const stats = await observer.info('commandstats')
  const scripts = [...stats.matchAll(/^cmdstat_(?:eval|evalsha|fcall)(?:_ro)?:\S*?\busec=(\d+)/gm)]
  const { user, system } = process.cpuUsage()
  return {
    redis: seconds * 1e6,
    script: scripts.reduce((sum, [, usec]) => sum + Number(usec), 0),
    caller: user + system,
  }
}

function readNumber(text: string, pattern: RegExp): number {
  const value = Number(pattern.exec(text)?.[1])
  if (!Number.isFinite(value)) throw new Error(`INFO of Redis has no ${pattern.source}`)
  return value
}

await logIn()
await append(Math.ceil(appends / 10))
const before = await readCosts()
await append(appends)
const after = await readCosts()
const figures: AppendFigures = {
  redis: (after.redis - before.redis) / appends,
  script: (after.script - before.script) / appends,
  caller: (after.caller - before.caller) / appends,
}
console.log(JSON.stringify(figures))
process.exit(0)
