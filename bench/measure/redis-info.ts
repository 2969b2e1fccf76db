import { Redis } from 'ioredis'

const COMMAND_DEADLINE_MS = 10_000

/** A connection to ask a Redis what it has done. */
export function connectForInfo(url: string): Redis & Disposable {
  const client = new Redis(url, { commandTimeout: COMMAND_DEADLINE_MS, connectTimeout: COMMAND_DEADLINE_MS })
  return Object.assign(client, { [Symbol.dispose]: () => client.disconnect() })
}

/** A number that INFO tells, such as `used_memory` of the section `memory`. */
export async function readInfo(client: Redis, section: string, field: string): Promise<number> {
  const value = Number(new RegExp(`^${field}:(\\S+)`, 'm').exec(await client.info(section))?.[1])
  if (!Number.isFinite(value)) throw new Error(`INFO ${section} of Redis has no ${field}`)
  return value
}

/** Commands that a Redis has run so far. */
export async function readRedisCommands(url: string): Promise<number> {
  using client = connectForInfo(url)
  return await readInfo(client, 'stats', 'total_commands_processed')
}
