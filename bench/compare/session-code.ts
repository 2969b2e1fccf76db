import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type * as Cleanups from '../../session/brokers/cleanup.ts'
import type * as DevicePolicies from '../../session/device-policy.ts'
import type * as Directories from '../../session/directory.ts'
import type * as Inboxes from '../../session/inbox/inbox.ts'
import type * as AllKeys from '../../session/keys.ts'
import type * as Connections from '../../session/redis/redis.ts'

const COMMAND_DEADLINE_MS = 10_000

/**
 * Loads the session/ of the checkout in `folder`, and connects it to a Redis. It is used as of 0.2.0: where a version has
 * another way to connect, log in, append or clean, this must know both.
 */
export async function openSession(folder: string, redisUrl: string) {
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
  const { cleanIncarnation } = (await load('cleanup.ts', 'brokers')) as typeof Cleanups
  const redis = connectRedis(redisUrl, {
    connectionName: 'bench',
    commandTimeoutMs: COMMAND_DEADLINE_MS,
    // Whatever it is, the commands under way fail with it.
    onError: () => undefined,
  })
  await awaitReady(redis, COMMAND_DEADLINE_MS)
  const keys = new Keys()
  return {
    redis,
    keys,
    inbox: new Inbox(redis, keys),
    directory: new Directory(redis, keys, devicePolicies.unlimited),
    cleanIncarnation,
    [Symbol.asyncDispose]: () => closeRedis(redis),
  }
}
