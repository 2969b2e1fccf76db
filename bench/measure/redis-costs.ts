import { connectForInfo, readInfo } from './redis-info.ts'

/** What a Redis says it has spent since its start, in µs: CPU time, and time by the clock in scripts and functions. */
export async function readRedisCosts(url: string): Promise<{ redis: number; scripts: number }> {
  using client = connectForInfo(url)
  const seconds = (await readInfo(client, 'cpu', 'used_cpu_user')) + (await readInfo(client, 'cpu', 'used_cpu_sys'))
  // Whatever runs a script: one version may use a function where another uses EVALSHA.
  const stats = await client.info('commandstats')
  const scripts = [...stats.matchAll(/^cmdstat_(?:eval|evalsha|fcall)(?:_ro)?:\S*?\busec=(\d+)/gm)]
  return { redis: seconds * 1e6, scripts: scripts.reduce((sum, [, usec]) => sum + Number(usec), 0) }
}
