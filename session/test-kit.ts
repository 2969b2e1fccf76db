import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startServer } from '../test/kit/servers/server-process.ts'
import { Keys } from './keys.ts'
import { awaitReady, closeRedis, connectRedis, type RedisClient } from './redis/redis.ts'
import type { Incarnation } from './brokers/broker.ts'
import type { SessionDraft, UserSession } from './user-session.ts'

/** What the tests of this folder share. */

/** A client that is ready, closed at the end of its scope. */
export async function openRedis(url: string): Promise<{ redis: RedisClient } & AsyncDisposable> {
  const redis = connectRedis(url, { connectionName: 'test', commandTimeoutMs: 2000, onError: () => undefined })
  await awaitReady(redis, 60_000)
  return { redis, [Symbol.asyncDispose]: () => closeRedis(redis) }
}

/** A sentinel of its own for a primary on this machine, which it calls `main`. */
export function startSentinel(primaryPort: number) {
  return startServer({
    name: 'redis',
    buildArgs(address, port, directory) {
      // A sentinel rewrites its configuration: it must be a file.
      const monitor = `sentinel monitor main 127.0.0.1 ${primaryPort} 1\n`
      writeFileSync(join(directory, 'sentinel.conf'), `port ${port}\nbind ${address}\nprotected-mode no\n${monitor}`)
      return [join(directory, 'sentinel.conf'), '--sentinel']
    },
    readyLine: '+monitor master',
    probe: { request: 'PING\r\n', answer: '+PONG' },
  })
}

/** Keys that no other test uses. */
export function freshKeys(): Keys {
  return new Keys(`test-${randomUUID()}:`)
}

/** A start of a broker with a pod of its own. */
export function createIncarnation(brokerId = 'im-0', podUid: string = randomUUID()): Incarnation {
  return { brokerId, podUid, bootId: randomUUID(), host: '10.0.0.1', startedAt: Date.now() }
}

/** A login as a gateway would ask for. */
export function createDraft(values: Partial<SessionDraft> = {}, incarnation = createIncarnation()): SessionDraft {
  return {
    appId: 1,
    userId: 'alice',
    clientType: 1,
    imei: 'browser',
    version: '1.0',
    brokerId: incarnation.brokerId,
    brokerHost: incarnation.host,
    incarnation: `${incarnation.podUid}/${incarnation.bootId}`,
    connectionId: randomUUID(),
    ...values,
  }
}

/** An online session. */
export function createSession(values: Partial<UserSession> = {}): UserSession {
  return { ...createDraft(), connectState: 1, loginAt: 1, ...values }
}
