import { startServer, type ServerProcess } from './server-process.ts'

export type RedisServer = ServerProcess

/**
 * Starts a Redis on 127.0.0.1 and resolves when it answers. `port` is a free one by default. A `persistent` server (the
 * default) syncs every write to disk before it answers, so what it accepted outlives a restart and a crash.
 */
export function startRedis(options: { port?: number; persistent?: boolean } = {}): Promise<RedisServer> {
  const { port, persistent = true } = options
  const persistence = persistent ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
  return startServer(
    {
      name: 'redis',
      buildArgs: (address, on, directory) => {
        const listen = ['--port', String(on), '--bind', address, '--protected-mode', 'no']
        return [...listen, '--dir', directory, '--save', '', ...persistence]
      },
      readyLine: 'Ready to accept connections',
      probe: { request: 'PING\r\n', answer: '+PONG' },
    },
    port,
  )
}
