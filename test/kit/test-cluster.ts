import type { Exit } from './servers/child.ts'
import { startGateway, type GatewayOptions, type GatewayProcess } from './servers/gateway-process.ts'
import { startNats, type NatsServer } from './servers/nats-server.ts'
import { startRedis, type RedisServer } from './servers/redis-server.ts'
import { RedisWay } from './redis-way.ts'
import { Store } from './store.ts'
import { inTime, PATIENCE_MS, until } from './wait.ts'

export interface TestClusterOptions {
  /** Gateways to start with. */
  readonly gateways?: readonly string[]
  /** Settings of every gateway. */
  readonly env?: Readonly<Record<string, string>>
  /** Whether Redis keeps its data over a restart; by default it does. One that does not can be rolled back. */
  readonly persistent?: boolean
  /** Whether the gateways get to Redis through a proxy that hides from them when it is restarted. */
  readonly hidden?: boolean
  /** Another Redis than one of its own: a set with sentinels, or a Redis Cluster. */
  readonly redisUrl?: string
}

/** Redis, NATS and gateways as processes. Disposing it kills them. */
export class TestCluster implements AsyncDisposable {
  readonly nats: NatsServer
  readonly store: Store
  /** Where gateways find Redis. */
  readonly redisUrl: string
  readonly #redis: RedisServer | undefined
  readonly #env: Readonly<Record<string, string>>
  /** Every gateway ever started. */
  readonly #processes: GatewayProcess[] = []
  readonly #named = new Map<string, GatewayProcess>()
  #disposal: AsyncDisposableStack | undefined

  private constructor(
    { nats, store, redisUrl, redis }: Pick<TestCluster, 'nats' | 'store' | 'redisUrl'> & { redis?: RedisServer },
    env: Readonly<Record<string, string>>,
  ) {
    this.nats = nats
    this.store = store
    this.redisUrl = redisUrl
    this.#redis = redis
    this.#env = env
  }

  static async start(options: TestClusterOptions): Promise<TestCluster> {
    const { gateways = [], env = {}, persistent = true, hidden = false } = options
    await using stack = new AsyncDisposableStack()
    const redis = options.redisUrl === undefined ? stack.use(await startRedis({ persistent })) : undefined
    const url = options.redisUrl ?? redis?.url ?? ''
    const redisUrl = hidden ? stack.use(await RedisWay.start(url, { hiding: true })).url : url
    const nats = stack.use(await startNats())
    const store = stack.use(await Store.open(url))
    const cluster = new TestCluster({ nats, store, redisUrl, ...(redis && { redis }) }, env)
    stack.defer(() => cluster.#killAll())
    await Promise.all(gateways.map((brokerId) => cluster.startGateway(brokerId)))
    cluster.#disposal = stack.move()
    return cluster
  }

  /** The Redis of its own. */
  get redis(): RedisServer {
    if (this.#redis === undefined) throw new Error('the cluster has no Redis of its own')
    return this.#redis
  }

  /** Makes Redis, one that is not persistent, write down what `rollBack` goes back to. */
  async save(): Promise<void> {
    await this.store.redis.save()
  }

  /** Kills Redis and starts it with what it saved last; resolves when it answers. */
  async rollBack(): Promise<void> {
    await this.redis.stop('SIGKILL')
    await this.redis.start()
    await until('the store is back', () => this.store.redis.ping())
  }

  /** Starts a gateway, also one of a name that there was before; resolves when it is ready. */
  async startGateway(
    brokerId: string,
    env: Readonly<Record<string, string>> = {},
    { skipReady = false, root }: Pick<GatewayOptions, 'skipReady' | 'root'> = {},
  ): Promise<GatewayProcess> {
    const former = this.#named.get(brokerId)
    // A process takes over the ports of a dead one, as a pod takes over a name, so that clients find it.
    const ports = former?.running === false ? portsOf(former) : undefined
    const gateway = await startGateway({
      brokerId,
      redisUrl: this.redisUrl,
      natsUrl: this.nats.url,
      env: { ...this.#env, ...env },
      skipReady,
      root,
      readyTimeoutMs: PATIENCE_MS,
      ...(ports && { ports }),
    })
    this.#processes.push(gateway)
    this.#named.set(brokerId, gateway)
    return gateway
  }

  /** The process that was started last under this name. */
  gateway(brokerId: string): GatewayProcess {
    const gateway = this.#named.get(brokerId)
    if (gateway === undefined) throw new Error(`no gateway ${brokerId} was started`)
    return gateway
  }

  /** The process that was started last under each name, in the order of the names. */
  get gateways(): GatewayProcess[] {
    return [...this.#named.values()].toSorted((a, b) => a.brokerId.localeCompare(b.brokerId))
  }

  async #killAll(): Promise<void> {
    for (const gateway of this.#processes) gateway.kill('SIGKILL')
    await Promise.all(this.#processes.map(({ exited }) => exited))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disposal?.disposeAsync()
  }
}

function portsOf({ tcpUrl, wsUrl, adminUrl }: GatewayProcess): { tcp: number; ws: number; admin: number } {
  const [tcp = 0, ws = 0, admin = 0] = [tcpUrl, wsUrl, adminUrl].map((url) => Number(new URL(url).port))
  return { tcp, ws, admin }
}

/** The boot id of a gateway that was ready once. */
export async function bootIdOf(gateway: GatewayProcess): Promise<string> {
  const line = await gateway.waitForLog(({ msg }) => msg === 'ready for connections', PATIENCE_MS)
  return String(line['bootId'])
}

/** How a gateway ended. */
export function exitOf({ brokerId, exited }: GatewayProcess): Promise<Exit> {
  return inTime(`the end of ${brokerId}`, exited)
}

/** What /readyz answers: the status and its text. */
export async function readiness({ adminUrl }: GatewayProcess): Promise<{ status: number; body: string }> {
  const response = await fetch(`${adminUrl}/readyz`, { signal: AbortSignal.timeout(PATIENCE_MS) })
  return { status: response.status, body: (await response.text()).trim() }
}

/** The sum of a metric over its labels, or over those whose text contains `labels`. */
export async function metric({ adminUrl }: GatewayProcess, name: string, labels = ''): Promise<number> {
  const response = await fetch(`${adminUrl}/metrics`, { signal: AbortSignal.timeout(PATIENCE_MS) })
  const lines = (await response.text()).split('\n')
  const values = lines
    .filter((line) => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(labels))
    .map((line) => Number(line.slice(line.lastIndexOf(' '))))
  return values.reduce((sum, value) => sum + value, 0)
}
