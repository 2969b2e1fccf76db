import { startServer, type ServerProcess } from './server-process.ts'

export type NatsServer = ServerProcess

/** Starts a NATS server on 127.0.0.1 and resolves when it answers. `port` is a free one by default. */
export function startNats(options: { port?: number } = {}): Promise<NatsServer> {
  return startServer(
    {
      name: 'nats',
      buildArgs: (address, port) => ['--addr', address, '--port', String(port)],
      readyLine: 'Server is ready',
      probe: { request: 'CONNECT {"verbose":false}\r\nPING\r\n', answer: 'PONG' },
    },
    options.port,
  )
}
