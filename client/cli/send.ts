import { buffer } from 'node:stream/consumers'
import { addAbortSignal } from 'node:stream'
import { Command, Option } from 'commander'
import type { ClientOptions } from '../index.ts'
import { addConnectionOptions, openClient, type ConnectionOptions } from './connection-options.ts'
import { buildOneTimeDevice } from './device.ts'
import type { Io } from './io.ts'
import { parseDevice, parseDuration } from './values.ts'

interface SendOptions extends ConnectionOptions {
  readonly to: string
  readonly transient?: boolean
  readonly messageId?: string
  readonly timeout: number
  readonly device?: ClientOptions['device']
}

/** `im send`: sends one message. */
export function buildSendCommand(io: Io): Command {
  return addConnectionOptions(
    new Command('send')
      .summary('send a message')
      .description(
        'Sends one message and prints the seq that it got in the inbox of the recipient, 0 for a transient one. It is tried until ' +
          'the time-out, over every --url; a retry makes no second message. It takes part as a device of its own, which neither ' +
          'takes the place of your other devices nor their messages, and is logged out at the end.',
      )
      .argument('<text>', 'the message; - reads it from standard input, byte for byte'),
  )
    .requiredOption('--to <user>', 'the user that it is for')
    .option('--transient', 'only for devices that are online now; it is not kept')
    .option(
      '--message-id <id>',
      'of the message: sent again with the same one within ten minutes it is no second message',
    )
    .addOption(
      new Option('--timeout <time>', 'how long to try, at most 5m').argParser(parseDuration).default(10_000, '10s'),
    )
    .addOption(
      new Option(
        '--device <kind:id>',
        'the device to be, instead of one of its own; a running one of that name is replaced',
      ).argParser(parseDevice),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ im send --url ws://127.0.0.1:8080 --token "$(im token --user alice)" --to bob "hello"
  1
  $ im send --to bob --transient "is typing"             # url and token from IM_URL and IM_TOKEN
  $ date | im send --to bob -                            # from standard input
  $ im send --to bob --message-id order-17 "paid" || im send --to bob --message-id order-17 "paid"`,
    )
    .action((text: string, options: SendOptions) => send(io, text, options))
}

async function send(io: Io, text: string, options: SendOptions): Promise<void> {
  const { to, transient = false, messageId, timeout, device = buildOneTimeDevice('send') } = options
  // `utf8` would change bytes that are no valid UTF-8.
  const payload = text === '-' ? new Uint8Array(await buffer(addAbortSignal(io.signal, io.stdin))) : text
  const client = openClient(options, { device, start: 'head', ack: 'none' })
  try {
    const { seq } = await client.send(to, payload, {
      durable: !transient,
      timeoutMs: timeout,
      signal: io.signal,
      ...(messageId === undefined ? {} : { messageId }),
    })
    await io.print(String(seq))
  } finally {
    await client.close({ logout: true })
  }
}
