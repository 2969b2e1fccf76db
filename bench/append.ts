import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { startChild } from '../dev/child.ts'
import { startRedis } from '../dev/redis-server.ts'
import { addVersionOptions, buildIntegerOption, type VersionOptions } from './command-options.ts'
import { findVersions, runRounds, type Columns, type Version } from './rounds.ts'

interface AppendOptions extends VersionOptions {
  readonly appends: number
  readonly users: number
  readonly pipeline: number
  readonly payload: number
}

/** What bench/append-load.ts is told, as JSON. */
export interface AppendLoad extends Pick<AppendOptions, 'appends' | 'users' | 'pipeline' | 'payload'> {
  readonly redisUrl: string
  /** The checkout whose session/ appends. */
  readonly folder: string
}

/** What it prints, as JSON: all in µs per append, exact to what Redis counts: CPU time by the tick of its system. */
export interface AppendFigures {
  /** Of all that Redis did, by its own count of CPU time: reading, running, answering. */
  readonly redis: number
  /** What Redis counts as the running of scripts and functions, whatever their names: by the clock, not CPU time. */
  readonly script: number
  /** CPU time of the process that appends. */
  readonly caller: number
}

const columns: Columns<AppendFigures> = {
  redis: ['Redis µs', 2],
  script: ['scripts µs', 2],
  caller: ['caller µs', 2],
}
const program = fileURLToPath(new URL('append-load.ts', import.meta.url))
const DEADLINE_MS = 5 * 60_000

/** `npm run bench -- append`: what an append costs Redis. */
export function buildAppendCommand(print: (line: string) => void): Command {
  const command = new Command('append')
    .summary('CPU time of Redis per append to an inbox, without any gateway')
    .description(
      'Appends messages to the inboxes of users with one session each, by the session/ of the checkout, in a Redis of its own ' +
        'without persistence, and prints what Redis says it spent (INFO cpu, and commandstats of scripts), per append. A tenth ' +
        'as many appends come before that, to warm up.',
    )
    .addOption(buildIntegerOption('--appends <n>', 'appends that are measured', 100_000, [100, 5_000_000]))
    .addOption(buildIntegerOption('--users <n>', 'recipients, in turn', 200, [1, 100_000]))
    .addOption(buildIntegerOption('--pipeline <n>', 'appends sent at once', 100, [1, 1000]))
    .addOption(buildIntegerOption('--payload <bytes>', 'size of a message', 128, [0, 32_768]))
  return addVersionOptions(command).action((options: AppendOptions) => runAppend(options, print))
}

async function runAppend(options: AppendOptions, print: (line: string) => void): Promise<void> {
  const { appends, users, pipeline, payload, rounds } = options
  print(`${appends} appends to ${users} users, ${pipeline} at once, payload ${payload} bytes`)
  await runRounds({
    versions: findVersions(options.gateway, options.vs),
    rounds,
    columns,
    measure: (version) => measureAppend(version, options),
    print,
  })
}

async function measureAppend({ folder }: Version, options: AppendOptions): Promise<AppendFigures> {
  const { appends, users, pipeline, payload } = options
  await using redis = await startRedis({ persistent: false })
  const load: AppendLoad = { redisUrl: redis.url, folder, appends, users, pipeline, payload }
  await using child = await startChild(process.execPath, [program, JSON.stringify(load)], { name: 'append-load' })
  const line = await child.waitForLine((text) => text.startsWith('{'), DEADLINE_MS)
  return JSON.parse(line) as AppendFigures
}
