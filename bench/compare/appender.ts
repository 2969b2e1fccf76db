import { existsSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { nextTick } from 'node:process'
import { pathToFileURL } from 'node:url'
import type * as DevicePolicies from '../../session/device-policy.ts'
import type * as Directories from '../../session/directory.ts'
import type * as Inboxes from '../../session/inbox/inbox.ts'
import type * as AllKeys from '../../session/keys.ts'
import type * as Connections from '../../session/redis/redis.ts'

export interface AppenderOptions {
  /** Recipients, in turn; each has one session. */
  readonly users: number
  /** Appends sent at once. */
  readonly pipeline: number
  /** Bytes of a message. */
  readonly payload: number
}

/** The session/ of a checkout, with users who have logged in. */
export interface Appender extends AsyncDisposable {
  /** Appends so many messages; resolves when all are in. */
  append(count: number): Promise<void>
}

const COMMAND_DEADLINE_MS = 10_000

/**
 * Connects the session/ of the checkout in `folder` to a Redis, and logs in the users. It uses session/ as of 0.2.0: where a
 * version has another way to connect, log in or append, this must know both.
 */
export async function openAppender(
  folder: string,
  redisUrl: string,
  options: AppenderOptions,
  prefix = 'user',
): Promise<Appender> {
  const load = async (file: string, room = ''): Promise<unknown> => {
    // 0.2.0 had no rooms.
    const path = [join(folder, 'session', room, file), join(folder, 'session', file)].find(existsSync) ?? file
    return import(pathToFileURL(path).href)
  }
  const { connectRedis, awaitReady, closeRedis } = (await load('redis.ts', 'redis')) as typeof Connections
  const { Keys } = (await load('keys.ts')) as typeof AllKeys
  const { Inbox } = (await load('inbox.ts', 'inbox')) as typeof Inboxes
  const { Directory } = (await load('directory.ts')) as typeof Directories
  const { devicePolicies } = (await load('device-policy.ts')) as typeof DevicePolicies

  const { users, pipeline } = options
  const redis = connectRedis(redisUrl, {
    connectionName: 'bench',
    commandTimeoutMs: COMMAND_DEADLINE_MS,
    // Whatever it is, the commands under way fail with it.
    onError: () => undefined,
  })
  await awaitReady(redis, COMMAND_DEADLINE_MS)
  const keys = new Keys()
  const inbox = new Inbox(redis, keys)
  const directory = new Directory(redis, keys, devicePolicies.unlimited)
  const recipients = Array.from({ length: users }, (_, index) => ({ appId: 1, userId: `${prefix}-${index}` }))
  const incarnation = `${randomUUID()}/${randomUUID()}`
  const place = { clientType: 1, imei: 'bench', version: '', brokerId: 'bench-0', brokerHost: '127.0.0.1', incarnation }
  for (let at = 0; at < recipients.length; at += pipeline) {
    const logins = recipients.slice(at, at + pipeline)
    await Promise.all(logins.map((user) => directory.login({ ...user, ...place, connectionId: randomUUID() })))
  }

  const payload = new Uint8Array(options.payload)
  let next = 0
  const appendOne = async (): Promise<void> => {
    const to = recipients[next++ % users]
    if (to) await inbox.append({ to, from: 'sender', clientType: 1, messageId: randomUUID(), payload })
  }
  return {
    async append(count) {
      for (let done = 0; done < count; done += pipeline) {
        // Written to the connection at once; on a cluster there are several.
        if ('stream' in redis) {
          const { stream } = redis
          stream.cork()
          nextTick(() => stream.uncork())
        }
        await Promise.all(Array.from({ length: Math.min(pipeline, count - done) }, appendOne))
      }
    },
    [Symbol.asyncDispose]: () => closeRedis(redis),
  }
}
