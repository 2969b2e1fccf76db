import { createInterface } from 'node:readline'
import { Command } from 'commander'
import type { Client } from '../index.ts'
import { addConnectionOptions, openClient, tellTrouble, type ConnectionOptions } from './connection-options.ts'
import { buildOneTimeDevice } from './device.ts'
import { describeError } from './errors.ts'
import type { Io } from './io.ts'

interface ChatOptions extends ConnectionOptions {
  readonly to: string
}

/** `im chat`: a conversation in the terminal. */
export function buildChatCommand(io: Io): Command {
  return addConnectionOptions(
    new Command('chat')
      .summary('talk to somebody in the terminal')
      .description(
        'Sends each line that you type, and prints what comes in the meantime, from whomever. Ctrl-C or Ctrl-D ends it. It takes ' +
          'part as a device of its own: your other devices stay, and get the messages too.',
      ),
  )
    .requiredOption('--to <user>', 'the user that you talk to')
    .addHelpText(
      'after',
      `
Examples, in two terminals:
  $ im chat --url ws://127.0.0.1:8080 --token "$(im token --user alice)" --to bob
  $ im chat --url tcp://127.0.0.1:9001 --token "$(im token --user bob)" --to alice`,
    )
    .action((options: ChatOptions) => chat(io, options))
}

async function chat(io: Io, options: ChatOptions): Promise<void> {
  const client = openClient(options, { device: buildOneTimeDevice('chat'), start: 'head', ack: 'none' })
  tellTrouble(io, client)
  try {
    await client.ready({ signal: io.signal })
    await talk(io, client, options.to)
  } finally {
    await client.close({ logout: true })
  }
}

async function talk(io: Io, client: Client, to: string): Promise<void> {
  const terminal = io.stdin.isTTY === true && io.stdout.isTTY === true
  const lines = createInterface({ input: io.stdin, output: io.stdout, terminal, prompt: terminal ? '> ' : '' })
  const stop = () => lines.close()
  io.signal.addEventListener('abort', stop, { once: true })
  // A terminal that is read key by key sends Ctrl-C as a key.
  lines.on('SIGINT', () => io.interrupt())
  void client.closed.then(stop)
  client.on('message', async (message) => {
    await io.print(`${terminal ? '\r\u001B[K' : ''}${printable(message.from)}: ${printable(message.text())}`)
    if (terminal) lines.prompt(true)
  })
  const sends = new Set<Promise<void>>()
  lines.on('line', (line) => {
    if (line !== '') {
      const sent = client.send(to, line).then(
        () => {},
        (error: unknown) => {
          const { code, text } = describeError(error)
          io.tell(code, text)
        },
      )
      sends.add(sent)
      void sent.finally(() => sends.delete(sent))
    }
    lines.prompt()
  })
  await new Promise<void>((resolve) => {
    lines.once('close', resolve)
    lines.prompt()
  })
  io.signal.removeEventListener('abort', stop)
  if (terminal) await io.print('')
  if (!io.signal.aborted) await Promise.all(sends)
  if (!io.signal.aborted && !client.connected) {
    const { by, error } = await client.closed
    if (by === 'gateway') throw error
  }
}

/** Control characters of others would let them write anywhere on this terminal. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what it is there to find
  return text.replaceAll(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g, '\uFFFD')
}
