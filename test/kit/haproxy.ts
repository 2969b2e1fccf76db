import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startChild } from './servers/child.ts'
import { findFreePorts } from './servers/free-port.ts'
import type { GatewayProcess } from './servers/gateway-process.ts'
import { explainMissing, findServer } from './servers/server-binary.ts'
import { until } from './wait.ts'

/** A balancer as docs/operations.md shows it: it asks for /readyz, and shuts the sessions of servers that are down. */
export interface HaProxy extends AsyncDisposable {
  readonly tcpUrl: string
  readonly wsUrl: string
  /** Of its own statistics: how a server is, such as `UP` or `DOWN`. */
  status(brokerId: string): Promise<string>
}

/**
 * @param patience for how many checks that fail, one each second, a server stays up
 * @throws Error that says how to get HAProxy
 */
export async function startHaProxy(gateways: readonly GatewayProcess[], patience: number): Promise<HaProxy> {
  const command = await findServer('haproxy')
  if (command?.kind !== 'binary') throw new Error(explainMissing('haproxy'))
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'im-haproxy-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const [tcp = 0, ws = 0, stats = 0] = await findFreePorts(3)
  const file = join(directory, 'haproxy.cfg')
  await writeFile(file, buildConfig(gateways, { tcp, ws, stats }, patience))
  const child = await startChild(command.file, ['-db', '-f', file], { name: 'haproxy' })
  stack.defer(async () => void (await child.stop('SIGKILL')))
  const readStats = async () => (await fetch(`http://127.0.0.1:${stats}/stats;csv`)).text()
  await until('HAProxy is up', async () => {
    if (!child.running) throw child.describe('ended')
    const socket = connect(tcp, '127.0.0.1')
    await once(socket, 'connect')
    socket.destroy()
    return /^tcp,/m.test(await readStats())
  })
  const owned = stack.move()
  return {
    tcpUrl: `tcp://127.0.0.1:${tcp}`,
    wsUrl: `ws://127.0.0.1:${ws}`,
    async status(brokerId) {
      const line = (await readStats()).split('\n').find((text) => text.startsWith(`tcp,${brokerId},`))
      return line?.split(',')[17] ?? ''
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function buildConfig(
  gateways: readonly GatewayProcess[],
  ports: Readonly<Record<'tcp' | 'ws' | 'stats', number>>,
  patience: number,
): string {
  const portOf = (url: string) => new URL(url).port
  const section = (name: 'tcp' | 'ws') => `
listen ${name}
  bind 127.0.0.1:${ports[name]}
  balance leastconn
  option httpchk GET /readyz
  default-server check inter 1s fall ${patience} rise 2 on-marked-down shutdown-sessions
${gateways
  .map(
    ({ brokerId, tcpUrl, wsUrl, adminUrl }) =>
      `  server ${brokerId} 127.0.0.1:${portOf(name === 'tcp' ? tcpUrl : wsUrl)} port ${portOf(adminUrl)}`,
  )
  .join('\n')}
`
  return `defaults
  mode tcp
  # A gateway that is cut off refuses connections before it counts as down: to another one then.
  retries 3
  option redispatch 1
  timeout connect 2s
  timeout client 10m
  timeout server 10m
  timeout check 2s
${section('tcp')}${section('ws')}
listen stats
  mode http
  bind 127.0.0.1:${ports.stats}
  stats enable
  stats uri /stats
`
}
