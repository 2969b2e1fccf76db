import type { Exit } from '../../dev/child.ts'
import { startGateway, type GatewayProcess } from '../../dev/gateway-process.ts'
import { startNats, type NatsServer } from '../../dev/nats-server.ts'
import { startRedis, type RedisServer } from '../../dev/redis-server.ts'
import { Store } from './store.ts'
import { inTime, PATIENCE_MS } from './wait.ts'

export interface TestClusterOptions {
  /** Gateways to start with. */
  readonly gateways?: readonly string[]
  /** Settings of every gateway. */
  readonly env?: Readonly<Record<string, string>>
  /** Whether Redis keeps its data over a restart; by default it does. */
  readonly persistent?: boolean
}

/** Redis, NATS and gateways as processes. Disposing it kills them. */
export class TestCluster implements AsyncDisposable {
  readonly redis: RedisServer
  readonly nats: NatsServer
  readonly store: Store
  readonly #env: Readonly<Record<string, string>>
  /** Every gateway ever started. */
  readonly #processes: GatewayProcess[] = []
  readonly #named = new Map<string, GatewayProcess>()
  #disposal: AsyncDisposableStack | undefined

  private constructor(redis: RedisServer, nats: NatsServer, store: Store, env: Readonly<Record<string, string>>) {
    this.redis = redis
    this.nats = nats
    this.store = store
    this.#env = env
  }

  static async start({ gateways = [], env = {}, persistent = true }: TestClusterOptions): Promise<TestCluster> {
    await using stack = new AsyncDisposableStack()
    const redis = stack.use(await startRedis({ persistent }))
    const nats = stack.use(await startNats())
    const store = stack.use(await Store.open(redis.url))
    const cluster = new TestCluster(redis, nats, store, env)
    stack.defer(() => cluster.#killAll())
    await Promise.all(gateways.map((brokerId) => cluster.startGateway(brokerId)))
    cluster.#disposal = stack.move()
    return cluster
  }

  /** Starts a gateway, also one of a name that there was before; resolves when it is ready. */
  async startGateway(
    brokerId: string,
    env: Readonly<Record<string, string>> = {},
    { skipReady = false } = {},
  ): Promise<GatewayProcess> {
    const former = this.#named.get(brokerId)
    // A process takes over the ports of a dead one, as a pod takes over a name, so that clients find it.
    const ports = former?.running === false ? portsOf(former) : undefined
    const gateway = await startGateway({
      brokerId,
      redisUrl: this.redis.url,
      natsUrl: this.nats.url,
      env: { ...this.#env, ...env },
      skipReady,
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
