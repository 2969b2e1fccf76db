import { Redis } from 'ioredis'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import type { AppenderOptions } from '../compare/appender.ts'
import type { Subject } from '../compare/rounds.ts'
import { readRedisCosts } from '../measure/redis-costs.ts'

/** About as much as an entry of an inbox has besides its payload. */
const HEADER_BYTES = 60

/** Appends to lists with nothing but RPUSH: what Redis spends at the very least. */
export async function openRawAppends(
  count: number,
  { users, pipeline, payload }: AppenderOptions,
): Promise<Subject<'redis' | 'scripts' | 'caller'>> {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startRedis({ persistent: false }))
  const client = new Redis(server.url)
  stack.defer(() => client.disconnect())
  const entry = Buffer.alloc(HEADER_BYTES + payload)
  const append = async () => {
    for (let done = 0; done < count; done += pipeline) {
      const batch = client.pipeline()
      for (let at = done; at < Math.min(count, done + pipeline); at++) batch.rpush(`raw:${at % users}`, entry)
      await batch.exec()
    }
  }
  await append()
  const running = stack.move()
  return {
    async measure() {
      const before = { ...(await readRedisCosts(server.url)), caller: process.cpuUsage() }
      await append()
      const { user, system } = process.cpuUsage(before.caller)
      const { redis } = await readRedisCosts(server.url)
      return { redis: (redis - before.redis) / count, scripts: Number.NaN, caller: (user + system) / count }
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
