import { startGateway, type GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { startMonitoredNats } from './monitored-nats.ts'
import type { Peer, PeerCluster, PeerOptions } from './peer.ts'

export interface ImKind {
  readonly tcp?: boolean
  /** Stored, the default; else messages are only pushed. */
  readonly durable?: boolean
}

/** Gateways of a checkout with a Redis without persistence and a NATS server. */
export function buildImPeer(title: string, { tcp = false, durable = true }: ImKind = {}): Peer {
  return { title, start: (options) => startCluster(options, tcp, durable) }
}

async function startCluster(options: PeerOptions, tcp: boolean, durable: boolean): Promise<PeerCluster> {
  await using stack = new AsyncDisposableStack()
  const redis = stack.use(await startRedis({ persistent: false }))
  const nats = stack.use(await startMonitoredNats())
  const gateways: GatewayProcess[] = []
  for (let index = 0; index < options.gateways; index++) {
    const gateway = await startGateway({
      brokerId: `bench-${index}`,
      redisUrl: redis.url,
      natsUrl: nats.url,
      root: options.root,
      // The limit is there for clients that misbehave; few users at full speed would measure nothing else.
      env: { IM_MAX_FRAMES_PER_SECOND: '1000000', IM_LOG_LEVEL: 'warn', ...options.env },
    })
    gateways.push(stack.use(gateway))
    // Nothing of its is needed at the end, and a drain would take its time.
    stack.defer(() => gateway.kill('SIGKILL'))
  }
  const running = stack.move()
  return {
    wire: 'im',
    durable,
    urls: gateways.map(({ tcpUrl, wsUrl }) => (tcp ? tcpUrl : wsUrl)),
    pids: { gateways: gateways.map(({ pid }) => pid), redis: [redis.pid], nats: [nats.pid] },
    redisUrl: redis.url,
    natsMonitorUrl: nats.monitorUrl,
    kill: (index) => gateways[index]?.kill('SIGKILL'),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
