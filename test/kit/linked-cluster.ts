import type { GatewayProcess } from './servers/gateway-process.ts'
import { CutLink } from './cut-link.ts'
import { TestCluster } from './test-cluster.ts'
import { until } from './wait.ts'

export type Server = 'redis' | 'nats'

/** Gateways that each have a way of their own to Redis and to NATS, and know each other. */
export class LinkedCluster implements AsyncDisposable {
  readonly cluster: TestCluster
  readonly #links: ReadonlyMap<string, Readonly<Record<Server, CutLink>>>
  readonly #stack: AsyncDisposableStack

  private constructor(
    cluster: TestCluster,
    links: ReadonlyMap<string, Readonly<Record<Server, CutLink>>>,
    stack: AsyncDisposableStack,
  ) {
    this.cluster = cluster
    this.#links = links
    this.#stack = stack
  }

  static async start(brokerIds: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<LinkedCluster> {
    await using stack = new AsyncDisposableStack()
    const cluster = stack.use(await TestCluster.start({ env }))
    const links = new Map<string, Readonly<Record<Server, CutLink>>>()
    for (const brokerId of brokerIds) {
      const redis = stack.use(await CutLink.start(cluster.redis.port))
      const nats = stack.use(await CutLink.start(cluster.nats.port))
      links.set(brokerId, { redis, nats })
    }
    await Promise.all(
      [...links].map(([brokerId, { redis, nats }]) =>
        cluster.startGateway(brokerId, {
          IM_REDIS_URL: `redis://127.0.0.1:${redis.port}`,
          IM_NATS_SERVERS: `nats://127.0.0.1:${nats.port}`,
        }),
      ),
    )
    await Promise.all(cluster.gateways.map((gateway) => awaitPeers(gateway, brokerIds.length - 1)))
    return new LinkedCluster(cluster, links, stack.move())
  }

  link(brokerId: string, server: Server): CutLink {
    const links = this.#links.get(brokerId)
    if (links === undefined) throw new Error(`there is no gateway ${brokerId}`)
    return links[server]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

/** Waits until a gateway knows so many others. */
export function awaitPeers({ brokerId, adminUrl }: GatewayProcess, count: number): Promise<unknown> {
  return until(`${brokerId} knows ${count} others`, async () => {
    const { peers } = (await (await fetch(`${adminUrl}/links`)).json()) as { peers: number }
    return peers === count
  })
}
