import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import { pino } from 'pino'
import { findFreePorts } from '../test/kit/servers/free-port.ts'
import { startGateway, type GatewayProcess } from '../test/kit/servers/gateway-process.ts'
import { startNats, type NatsServer } from '../test/kit/servers/nats-server.ts'
import {
  buildSend,
  connectTcp,
  connectWebSocket,
  textOf,
  type LoginFields,
  type RawClient,
} from '../test/kit/raw-client.ts'
import { startRedis, type RedisServer } from '../test/kit/servers/redis-server.ts'
import { runGateway } from './gateway.ts'
import { parseSettings } from './settings.ts'

/** What every payload and every token of a test holds, and no log line may. */
export const SECRET = 'KEEP-OUT-OF-LOGS'

const DEADLINE_MS = 60_000
const POLL_MS = 20

/** Where a gateway is. */
export type GatewayAddress = Pick<GatewayProcess, 'tcpUrl' | 'wsUrl' | 'adminUrl'>

/** A Redis, a NATS and gateways for one test file. Disposing it also checks that no log line holds a secret. */
export interface TestBench extends AsyncDisposable {
  readonly redis: RedisServer
  readonly nats: NatsServer
  /** Starts a gateway that logs at level `trace`; `settings` are without the prefix. Names must not repeat. */
  start(brokerId: string, settings?: Readonly<Record<string, string>>): Promise<GatewayProcess>
  /** As `start`, but in this process, which is quicker where many are needed. */
  startHere(brokerId: string, settings?: Readonly<Record<string, string>>): Promise<GatewayAddress>
}

export async function openBench(): Promise<TestBench> {
  await using stack = new AsyncDisposableStack()
  const [redis, nats] = await Promise.all([startRedis({ persistent: false }), startNats()])
  stack.use(redis)
  stack.use(nats)
  const lines: string[] = []
  const onLine = (line: string): void => void lines.push(line)
  const closing = stack.move()
  return {
    redis,
    nats,
    async start(brokerId, settings = {}) {
      const env: Record<string, string> = { IM_LOG_LEVEL: 'trace', IM_DRAIN_DEADLINE_MS: '200' }
      for (const [name, value] of Object.entries(settings)) env[`IM_${name}`] = value
      const options = { brokerId, redisUrl: redis.url, natsUrl: nats.url, env, onLine }
      return closing.use(await startGateway(options))
    },
    async startHere(brokerId, settings = {}) {
      const [tcp, ws, admin] = await findFreePorts(3)
      const env: Record<string, string> = {
        IM_BROKER_ID: brokerId,
        IM_LISTEN_HOST: '127.0.0.1',
        IM_REDIS_URL: redis.url,
        IM_NATS_SERVERS: nats.url,
        IM_TCP_PORT: String(tcp),
        IM_WS_PORT: String(ws),
        IM_ADMIN_PORT: String(admin),
        IM_AUTH_MODE: 'none',
        IM_DRAIN_DEADLINE_MS: '200',
      }
      for (const [name, value] of Object.entries(settings)) env[`IM_${name}`] = value
      const stop = new AbortController()
      const logger = pino({ level: 'trace', base: { brokerId } }, { write: onLine })
      const running = runGateway(parseSettings(env), logger, stop.signal)
      closing.defer(() => {
        stop.abort()
        return running
      })
      const adminUrl = `http://127.0.0.1:${admin}`
      const isReady = () =>
        fetch(`${adminUrl}/readyz`)
          .then(({ ok }) => ok)
          .catch(() => false)
      await Promise.race([running, eventually(isReady, Boolean, brokerId)])
      return { tcpUrl: `tcp://127.0.0.1:${tcp}`, wsUrl: `ws://127.0.0.1:${ws}`, adminUrl }
    },
    async [Symbol.asyncDispose]() {
      await closing.disposeAsync()
      const leaks = lines.filter((line) => line.includes(SECRET))
      assert.deepEqual(leaks, [], 'a token or a payload was logged')
      assert.ok(lines.length > 0, 'gateways log')
    },
  }
}

/** Reads one series of /metrics; 0 when it is not there yet. Labels are given as Prometheus prints them. */
export async function readMetric({ adminUrl }: GatewayAddress, series: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `))
  return line === undefined ? 0 : Number(line.slice(series.length + 1))
}

/** Runs `work` and checks that a counter rose by exactly `by`. */
export async function assertCounted<Result>(
  gateway: GatewayProcess,
  series: string,
  work: () => Promise<Result>,
  by = 1,
): Promise<Result> {
  const before = await readMetric(gateway, series)
  const result = await work()
  assert.equal((await readMetric(gateway, series)) - before, by, `${series} must rise by ${by}`)
  return result
}

/** Asks again and again until the answer satisfies, for what no event tells. */
export async function eventually<Value>(
  ask: () => Promise<Value> | Value,
  satisfies: (value: Value) => boolean,
  what: string,
): Promise<Value> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const value = await ask()
    if (satisfies(value)) return value
    assert.ok(performance.now() < deadline, `${what}: still ${inspect(value)} after ${DEADLINE_MS} ms`)
    await delay(POLL_MS)
  }
}

/** Connects over TCP and logs in. */
export async function loginTcp(gateway: GatewayAddress, fields: LoginFields): Promise<RawClient> {
  const client = await connectTcp(gateway.tcpUrl)
  await client.login(fields)
  return client
}

/** Connects over WebSocket and logs in. */
export async function loginWebSocket(
  gateway: GatewayAddress,
  fields: LoginFields,
  subprotocol?: string,
): Promise<RawClient> {
  const client = await connectWebSocket(gateway.wsUrl, subprotocol === undefined ? {} : { subprotocol })
  await client.login(fields)
  return client
}

const MIN_ROUNDS = 10

/** Two users who exchange messages all the time, one over TCP and one over WebSocket. */
export interface Witnesses {
  /**
   * Stops, after more than ten rounds, and checks that everything arrived in order, once, and that both connections lived
   * through it all.
   */
  stop(): Promise<void>
}

/** Starts the exchange. The next message goes out when the last one has come, so that it never floods. */
export async function startWitnesses(
  gateway: GatewayProcess,
  tokens: { readonly tcp: LoginFields; readonly webSocket: LoginFields; readonly names: readonly [string, string] },
): Promise<Witnesses> {
  const clients = [await loginTcp(gateway, tokens.tcp), await loginWebSocket(gateway, tokens.webSocket)] as const
  let stopping = false
  const exchange = async (): Promise<void> => {
    for (let round = 1; ; round++) {
      for (const side of [0, 1] as const) {
        const from = clients[side]
        const to = clients[1 - side] as RawClient
        const text = `${SECRET} ${round}`
        from.send(buildSend(tokens.names[1 - side] as string, text, { requestId: round }))
        assert.equal((await from.next('accepted')).requestId, round)
        const message = await to.next('message')
        assert.equal(message.seq, round)
        assert.equal(textOf(message), text)
        to.ack(message.seq)
      }
      // However short the test was: each round has its deadlines.
      if (stopping && round > MIN_ROUNDS) return
    }
  }
  const exchanged = exchange()
  // Told by `stop`, not as an unhandled rejection.
  exchanged.catch(() => undefined)
  return {
    async stop() {
      stopping = true
      await exchanged
      for (const client of clients) {
        await client.sync()
        assert.ok(client.open)
        assert.deepEqual(client.unread, [])
        client.destroy()
      }
    },
  }
}
