import { isFree } from '../test/kit/servers/free-port.ts'
import type { GatewayPorts } from '../test/kit/servers/gateway-process.ts'
import { findPortOwner } from './port-owner.ts'

/** Where the parts of a development cluster listen. */
export interface ClusterPorts {
  readonly redis: number
  readonly nats: number
  readonly gateways: readonly GatewayPorts[]
}

const GATEWAYS = 3

/** The ports of a cluster: the well-known ones, or within the hundred from `base`. */
export function buildClusterPorts(base?: number): ClusterPorts {
  const first =
    base === undefined
      ? { redis: 16_379, nats: 14_222, tcp: 9000, ws: 8080, admin: 9100 }
      : { redis: base, nats: base + 1, tcp: base + 10, ws: base + 20, admin: base + 30 }
  const gateways = Array.from({ length: GATEWAYS }, (_, index) => ({
    tcp: first.tcp + index,
    ws: first.ws + index,
    admin: first.admin + index,
  }))
  return { redis: first.redis, nats: first.nats, gateways }
}

/** @throws Error in one line that names the ports in use, and what holds the first of them. */
export async function checkPorts(ports: ClusterPorts): Promise<void> {
  const uses: (readonly [number, string])[] = [
    [ports.redis, 'Redis'],
    [ports.nats, 'NATS'],
    ...ports.gateways.flatMap(({ tcp, ws, admin }, index) => [
      [tcp, `TCP of gw-${index}`] as const,
      [ws, `WebSocket of gw-${index}`] as const,
      [admin, `health and metrics of gw-${index}`] as const,
    ]),
  ]
  const taken: (readonly [number, string])[] = []
  for (const use of uses) if (!(await isFree(use[0]))) taken.push(use)
  const [first, ...others] = taken
  if (!first) return
  const owner = await findPortOwner(first[0])
  const rest = others.length > 0 ? `, and so are ${others.map(([port]) => port).join(', ')}` : ''
  throw new Error(
    `Port ${first[0]} (${first[1]}) is in use${owner ? ` by ${owner}` : ''}${rest}. ` +
      'Stop what holds it, or take other ports: npm start -- --base-port 20000',
  )
}
