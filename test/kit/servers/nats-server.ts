import { startServer, type ServerProcess } from './server-process.ts'

export type NatsServer = ServerProcess

interface NatsOptions {
  /** A free one by default. */
  readonly port?: number
  /** 127.0.0.1 by default. */
  readonly host?: string | undefined
  /** Asked of every client; none by default. */
  readonly login?: { readonly user: string; readonly pass: string }
  /** Content of its configuration file, which asks for `login` if that is given; none by default. */
  readonly config?: string
}

/** Starts a NATS server and resolves when it answers. */
export function startNats({ port: fixed, host, login, config }: NatsOptions = {}): Promise<NatsServer> {
  const credentials = login === undefined || config !== undefined ? [] : ['--user', login.user, '--pass', login.pass]
  const hello = JSON.stringify({ verbose: false, ...login })
  return startServer(
    {
      name: 'nats',
      ...(host !== undefined && { host }),
      ...(config !== undefined && { files: { 'nats.conf': config } }),
      buildArgs: (address, port, directory) => [
        '--addr',
        address,
        '--port',
        String(port),
        ...credentials,
        ...(config === undefined ? [] : ['--config', `${directory}/nats.conf`]),
      ],
      readyLine: 'Server is ready',
      probe: { request: `CONNECT ${hello}\r\nPING\r\n`, answer: 'PONG' },
    },
    fixed,
  )
}
