import { Redis } from 'ioredis'

const COMMAND_DEADLINE_MS = 10_000

/** What a Redis says it has spent since its start, in µs: CPU time, and time by the clock in scripts and functions. */
export async function readRedisCosts(url: string): Promise<{ redis: number; scripts: number }> {
  const client = new Redis(url, { commandTimeout: COMMAND_DEADLINE_MS, connectTimeout: COMMAND_DEADLINE_MS })
  try {
    const cpu = await client.info('cpu')
    const seconds = readNumber(cpu, /^used_cpu_user:(\S+)/m) + readNumber(cpu, /^used_cpu_sys:(\S+)/m)
    // Whatever runs a script: one version may use a function where another uses EVALSHA.
    const stats = await client.info('commandstats')
    const scripts = [...stats.matchAll(/^cmdstat_(?:eval|evalsha|fcall)(?:_ro)?:\S*?\busec=(\d+)/gm)]
    return { redis: seconds * 1e6, scripts: scripts.reduce((sum, [, usec]) => sum + Number(usec), 0) }
  } finally {
    client.disconnect()
  }
}

function readNumber(text: string, pattern: RegExp): number {
  const value = Number(pattern.exec(text)?.[1])
  if (!Number.isFinite(value)) throw new Error(`INFO of Redis has no ${pattern.source}`)
  return value
}
