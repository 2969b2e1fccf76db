import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Option, type Command } from 'commander'
import { connect, type Client, type NodeClientOptions } from '../index.ts'
import { CommandError } from './errors.ts'
import type { Io } from './io.ts'
import { collectUrls } from './values.ts'

/** Options that every command with a connection has. */
export interface ConnectionOptions {
  readonly url: readonly string[]
  readonly token: string
  readonly ca?: string
}

/** Adds `--url`, `--token` and `--ca` to a command. */
export function addConnectionOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--url <url>',
        'a gateway: ws://, wss://, tcp:// or tls://; repeat it, and the next is tried when one is away',
      )
        .env('IM_URL')
        .argParser(collectUrls)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--token <token>', 'who you are: see `im token`; IM_TOKEN keeps it out of the list of processes')
        .env('IM_TOKEN')
        .makeOptionMandatory(),
    )
    .option('--ca <file>', 'certificates (PEM) to trust besides the usual ones, for wss:// and tls://')
}

/** Opens a client. Who opens it closes it. */
export function openClient(
  { url, token, ca }: ConnectionOptions,
  options: Omit<NodeClientOptions, 'urls' | 'token' | 'ca'>,
): Client {
  if (ca !== undefined) trust(ca)
  return connect({ version: 'im', ...options, urls: url, token })
}

/** Tells on standard error what goes wrong while a command goes on. */
export function tellTrouble(io: Io, client: Client): void {
  client.on('disconnected', ({ code, message, retryInMs }) => {
    io.tell(code, `${message}; trying again in ${(retryInMs / 1000).toFixed(1)} s`)
  })
  client.on('error', (error) => io.tell('code' in error ? String(error.code) : 'error', error.message))
}

/** For this whole process, since Node's WebSocket can be told in no other way. */
function trust(file: string): void {
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new CommandError('ca_unreadable', `${file} cannot be read; give a file with certificates in PEM`, { cause })
  }
  try {
    // Throws where Node would take anything as a certificate, and then trust nothing by it.
    void new X509Certificate(pem)
    setDefaultCACertificates([...getCACertificates('default'), pem])
  } catch (cause) {
    throw new CommandError('ca_invalid', `${file} holds no certificate in PEM`, { cause })
  }
}
