import { startServer, type ServerProcess } from './server-process.ts'

export type NatsServer = ServerProcess

interface NatsOptions {
  /** A free one by default. */
  readonly port?: number
  /** Asked of every client; none by default. */
  readonly login?: { readonly user: string; readonly pass: string }
}

/** Starts a NATS server on 127.0.0.1 and resolves when it answers. */
export function startNats({ port: fixed, login }: NatsOptions = {}): Promise<NatsServer> {
  const credentials = login === undefined ? [] : ['--user', login.user, '--pass', login.pass]
  const hello = JSON.stringify({ verbose: false, ...login })
  return startServer(
    {
      name: 'nats',
      buildArgs: (address, port) => ['--addr', address, '--port', String(port), ...credentials],
      readyLine: 'Server is ready',
      probe: { request: `CONNECT ${hello}\r\nPING\r\n`, answer: 'PONG' },
    },
    fixed,
  )
}
