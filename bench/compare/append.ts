import { Command } from 'commander'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { openAppender, type AppenderOptions } from './appender.ts'
import { addVersionOptions, buildIntegerOption, type VersionOptions } from '../command-options.ts'
import { findVersions, runRounds, type Subject } from './rounds.ts'
import { readRedisCosts } from '../measure/redis-costs.ts'

interface AppendOptions extends VersionOptions, AppenderOptions {
  readonly appends: number
}

/** All in µs per append: the CPU time of Redis, what it counts (by the clock) as running scripts, and the caller's CPU time. */
const columns = {
  redis: { title: 'Redis µs', decimals: 2 },
  scripts: { title: 'scripts µs', decimals: 2 },
  caller: { title: 'caller µs', decimals: 2 },
} as const
type Figures = keyof typeof columns

const SLICES = 10

/** `npm run bench -- append`: what an append costs Redis. */
export function buildAppendCommand(print: (line: string) => void): Command {
  const command = new Command('append')
    .summary('CPU time of Redis per append to an inbox, without any gateway')
    .description(
      'Appends messages to the inboxes of users with one session each, by the session/ of the checkout, in a Redis of its own ' +
        'without persistence, and prints what Redis says it spent per append: CPU time in all, and time in scripts (INFO cpu, ' +
        'commandstats).',
    )
    .addOption(
      buildIntegerOption('--appends <n>', 'appends of a round, after a fifth as many', 100_000, [1000, 5_000_000]),
    )
    .addOption(buildIntegerOption('--users <n>', 'recipients, in turn', 200, [1, 100_000]))
    .addOption(buildIntegerOption('--pipeline <n>', 'appends sent at once', 100, [1, 1000]))
    .addOption(buildIntegerOption('--payload <bytes>', 'size of a message', 128, [0, 32_768]))
  return addVersionOptions(command).action((options: AppendOptions) => runAppend(options, print))
}

async function runAppend(options: AppendOptions, print: (line: string) => void): Promise<void> {
  const { appends, users, pipeline, payload, rounds } = options
  print(`${appends} appends to ${users} users, ${pipeline} at once, payload ${payload} bytes, ${rounds} times`)
  await runRounds({
    versions: findVersions(options.gateway, options.vs),
    rounds,
    slices: SLICES,
    columns,
    open: ({ folder }) => openAppendSubject(folder, options, SLICES),
    print,
  })
}

/** Appends by the code of a checkout in a Redis of its own, warmed up; `slices` of them make all of `appends`. */
export async function openAppendSubject(
  folder: string,
  options: AppenderOptions & { readonly appends: number },
  slices: number,
): Promise<Subject<Figures>> {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startRedis({ persistent: false }))
  const appender = stack.use(await openAppender(folder, server.url, options))
  await appender.append(Math.ceil(options.appends / 5))
  const running = stack.move()
  const count = Math.ceil(options.appends / slices)
  return {
    async measure() {
      const before = { ...(await readRedisCosts(server.url)), caller: process.cpuUsage() }
      await appender.append(count)
      const { user, system } = process.cpuUsage(before.caller)
      const { redis, scripts } = await readRedisCosts(server.url)
      return {
        redis: (redis - before.redis) / count,
        scripts: (scripts - before.scripts) / count,
        caller: (user + system) / count,
      }
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
