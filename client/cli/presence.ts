import { Command, Option } from 'commander'
import { clientTypes } from '../index.ts'
import { addConnectionOptions, openClient, type ConnectionOptions } from './connection-options.ts'
import { buildOneTimeDevice } from './device.ts'
import type { Io } from './io.ts'
import { parseDuration } from './values.ts'

interface PresenceOptions extends ConnectionOptions {
  readonly timeout: number
}

/** `im presence`: asks who is online. */
export function buildPresenceCommand(io: Io): Command {
  return addConnectionOptions(
    new Command('presence')
      .summary('ask who is online')
      .description('Prints one JSON line for each user: userId, and online, the kinds of devices that are online now.')
      .argument('<user...>', 'the users to ask for'),
  )
    .addOption(new Option('--timeout <time>', 'how long to try').argParser(parseDuration).default(10_000, '10s'))
    .addHelpText(
      'after',
      `
Examples:
  $ im presence --url tcp://127.0.0.1:9000 --token "$(im token --user alice)" bob carol
  {"userId":"bob","online":["web","ios"]}
  {"userId":"carol","online":[]}`,
    )
    .action(async (users: string[], options: PresenceOptions) => {
      const client = openClient(options, { device: buildOneTimeDevice('presence'), start: 'head', ack: 'none' })
      try {
        const found = await client.presence(users, { timeoutMs: options.timeout, signal: io.signal })
        for (const [userId, kinds] of found) {
          await io.print(JSON.stringify({ userId, online: kinds.map((kind) => clientTypes[kind] ?? String(kind)) }))
        }
      } finally {
        await client.close({ logout: true })
      }
    })
}
