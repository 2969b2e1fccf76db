import { startServer, type ServerProcess } from './server-process.ts'

export type RedisServer = ServerProcess

interface RedisOptions {
  readonly port?: number
  /** 127.0.0.1 by default. */
  readonly host?: string | undefined
  readonly persistent?: boolean
  readonly config?: readonly string[]
}

/**
 * Starts a Redis and resolves when it answers. `port` is a free one by default. A `persistent` server (the
 * default) syncs every write to disk before it answers, so what it accepted outlives a restart and a crash. Of any other
 * only what the command SAVE wrote last does. `config` is more of its command line, such as `['--replicaof', host, port]`.
 */
export function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { port, host, persistent = true, config = [] } = options
  const persistence = persistent ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
  return startServer(
    {
      name: 'redis',
      ...(host !== undefined && { host }),
      buildArgs: (address, on, directory) => {
        const listen = ['--port', String(on), '--bind', address, '--protected-mode', 'no']
        return [...listen, '--dir', directory, '--save', '', ...persistence, ...config]
      },
      readyLine: 'Ready to accept connections',
      probe: { request: 'PING\r\n', answer: '+PONG' },
    },
    port,
  )
}
