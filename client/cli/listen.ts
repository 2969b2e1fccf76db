import { Command, Option } from 'commander'
import { clientTypes, type Client, type ClientOptions, type Message } from '../index.ts'
import { addConnectionOptions, openClient, tellTrouble, type ConnectionOptions } from './connection-options.ts'
import { buildStableDevice } from './device.ts'
import { CommandError } from './errors.ts'
import type { Io } from './io.ts'
import { parseCount, parseDevice, parseDuration } from './values.ts'

interface ListenOptions extends ConnectionOptions {
  readonly device: ClientOptions['device']
  readonly start: 'earliest' | 'head'
  readonly count?: number
  readonly timeout?: number
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** `im listen`: prints messages as they come. */
export function buildListenCommand(io: Io): Command {
  const device = buildStableDevice()
  return addConnectionOptions(
    new Command('listen')
      .summary('print the messages that come for you')
      .description(
        'Prints one JSON line for each message: stream, seq, from, payload, sentAt; payloadBase64 instead of payload when it is ' +
          'no valid UTF-8. A message is acknowledged once it is printed, so the next run of the same --device goes on after it. ' +
          'Gaps, other devices coming and going, and lost connections are told on standard error.',
      ),
  )
    .addOption(
      new Option('--device <kind:id>', `what to be: one of ${clientTypes.join(', ')}, and an id`)
        .argParser(parseDevice)
        .default(device, `${device.clientType}:${device.imei}`),
    )
    .addOption(
      new Option('--start <where>', 'where a device that was never here before begins')
        .choices(['earliest', 'head'])
        .default('earliest'),
    )
    .addOption(new Option('--count <n>', 'end after that many messages').argParser(parseCount))
    .addOption(
      new Option('--timeout <time>', 'end after that time; with --count it is an error when fewer came').argParser(
        parseDuration,
      ),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ im listen --url ws://127.0.0.1:8080 --token "$(im token --user bob)"
  {"stream":"inbox","seq":1,"from":"alice","payload":"hello","sentAt":1763900000000}
  $ im listen --url ws://127.0.0.1:8080 --url tcp://127.0.0.1:9001     # the second is tried when the first is away
  $ im listen --device ios:phone-1 --count 1 --timeout 10s             # url and token from IM_URL and IM_TOKEN
  $ im listen --start head | jq -r .payload`,
    )
    .action((options: ListenOptions) => listen(io, options))
}

async function listen(io: Io, options: ListenOptions): Promise<void> {
  const { device, start, count = Infinity, timeout } = options
  const expired = timeout === undefined ? undefined : AbortSignal.timeout(timeout)
  const signal = expired ? AbortSignal.any([io.signal, expired]) : io.signal
  await using client = openClient(options, { device, start, signal })
  tellTrouble(io, client)
  tellEvents(io, client)
  let printed = 0
  for await (const message of client.messages()) {
    await io.print(buildLine(message))
    message.ack()
    printed += 1
    if (printed === count) return
  }
  if (expired?.aborted && count !== Infinity) {
    throw new CommandError('timeout', `${printed} of ${count} messages came in time; allow more with --timeout`)
  }
}

function tellEvents(io: Io, client: Client): void {
  client.on('gap', ({ reason, fromSeq, toSeq }) => {
    const what =
      reason === 'trimmed'
        ? `messages ${fromSeq} to ${toSeq} are not kept any more`
        : 'the inbox was lost and began anew'
    io.tell('gap', what)
  })
  client.on('notice', ({ event, clientType, imei }) => {
    io.tell('notice', `your device ${clientTypes[clientType] ?? clientType}:${imei} ${event}`)
  })
}

/** One message as a line of JSON. */
function buildLine({ stream, seq, from, payload, sentAt }: Message): string {
  let content: { payload: string } | { payloadBase64: string }
  try {
    content = { payload: strict.decode(payload) }
  } catch {
    content = { payloadBase64: Buffer.from(payload).toString('base64') }
  }
  return JSON.stringify({ stream, seq, from, ...content, sentAt })
}
