import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import { describeExit, startChild, type Child, type Exit } from './child.ts'
import { formatAddress } from '../../../server/address.ts'
import { findFreePorts } from './free-port.ts'
import { createLineLog } from './line-log.ts'
import { LOCAL_HOST } from './local-host.ts'

/** One line of a gateway's log, as pino wrote it; a line that is not JSON comes as `{ msg }`. */
export type LogLine = Readonly<Record<string, unknown>>

/** A gateway in a process of its own. Disposing it drains it (SIGTERM), and kills it when that takes over 15 s. */
export interface GatewayProcess extends AsyncDisposable {
  readonly brokerId: string
  readonly pid: number
  readonly tcpUrl: string
  readonly wsUrl: string
  /** Where /livez, /readyz and /metrics are. */
  readonly adminUrl: string
  readonly exited: Promise<Exit>
  readonly running: boolean
  /** The log so far, the newest 10,000 lines. */
  logs(): readonly LogLine[]
  /** Resolves with the first log line, past or future, that satisfies `predicate`; rejects at the deadline or on exit. */
  waitForLog(predicate: (line: LogLine) => boolean, timeoutMs: number): Promise<LogLine>
  /** Resolves once /readyz answers 200, and Redis and NATS are there: in an outage of all a gateway stays ready. */
  ready(timeoutMs: number): Promise<void>
  kill(signal: NodeJS.Signals): void
}

export interface GatewayOptions {
  readonly brokerId: string
  readonly redisUrl: string
  readonly natsUrl: string
  /** More settings, and overrides. */
  readonly env?: Readonly<Record<string, string>>
  /** Folder of the release that it is of; by default this one. */
  readonly root?: string | undefined
  /** Address that it listens on and is reached at; 127.0.0.1 by default. */
  readonly host?: string
  /** Fixed ports; by default free ones. */
  readonly ports?: GatewayPorts
  /** Resolve as soon as the process runs, not when it is ready. */
  readonly skipReady?: boolean
  readonly readyTimeoutMs?: number
  /** Sees each line of output. */
  readonly onLine?: (line: string) => void
}

export interface GatewayPorts {
  readonly tcp: number
  readonly ws: number
  readonly admin: number
}

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const KEPT_LOGS = 10_000
const PORT_TRIES = 5

/** Starts a gateway with auth mode `none` unless `env` says otherwise. Rejects when it ends before it is ready. */
export async function startGateway(options: GatewayOptions): Promise<GatewayProcess> {
  for (let tries = 1; ; tries++) {
    const gateway = await spawnGateway(options, options.ports ?? (await findPorts()))
    try {
      if (!options.skipReady) await gateway.ready(options.readyTimeoutMs ?? 60_000)
      return gateway
    } catch (error) {
      gateway.kill('SIGKILL')
      await gateway.exited
      // Somebody else may have taken a free port in the meantime.
      const portTaken = gateway.logs().some((line) => JSON.stringify(line).includes('EADDRINUSE'))
      if (options.ports || tries === PORT_TRIES || !portTaken) throw error
    }
  }
}

async function findPorts(): Promise<GatewayPorts> {
  const [tcp = 0, ws = 0, admin = 0] = await findFreePorts(3)
  return { tcp, ws, admin }
}

async function spawnGateway(options: GatewayOptions, ports: GatewayPorts): Promise<GatewayProcess> {
  const { brokerId, host = LOCAL_HOST, root = ROOT, onLine } = options
  const log = createLineLog<LogLine>(KEPT_LOGS)
  const child = await startChild(process.execPath, [join(root, 'gateway/main.ts')], {
    name: `gateway ${brokerId}`,
    env: buildEnv(options, ports),
    onLine(line) {
      onLine?.(line)
      log.add(parseLogLine(line))
    },
  })
  void child.exited.then((exit) => log.end(() => child.describe(`ended with ${describeExit(exit)}`)))

  const adminUrl = `http://${formatAddress(host, ports.admin)}`
  return {
    brokerId,
    pid: child.pid,
    tcpUrl: `tcp://${formatAddress(host, ports.tcp)}`,
    wsUrl: `ws://${formatAddress(host, ports.ws)}`,
    adminUrl,
    exited: child.exited,
    get running() {
      return child.running
    },
    logs: () => log.entries,
    waitForLog: (predicate, timeoutMs) => log.waitFor(predicate, timeoutMs, (what) => child.describe(what)),
    ready: (timeoutMs) => waitUntilReady(child, adminUrl, timeoutMs),
    kill: (signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      await child.stop('SIGTERM', 15_000)
    },
  }
}

function buildEnv(
  { brokerId, redisUrl, natsUrl, host = LOCAL_HOST, env }: GatewayOptions,
  ports: GatewayPorts,
): NodeJS.ProcessEnv {
  // The caller's own IM_ settings must not leak in.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('IM_'))
  return {
    ...Object.fromEntries(inherited),
    IM_BROKER_ID: brokerId,
    IM_BROKER_HOST: host,
    IM_LISTEN_HOST: host,
    IM_REDIS_URL: redisUrl,
    IM_NATS_SERVERS: natsUrl,
    IM_TCP_PORT: String(ports.tcp),
    IM_WS_PORT: String(ports.ws),
    IM_ADMIN_PORT: String(ports.admin),
    IM_AUTH_MODE: 'none',
    ...env,
  }
}

async function waitUntilReady(child: Child, adminUrl: string, timeoutMs: number): Promise<void> {
  const deadline = AbortSignal.timeout(timeoutMs)
  let last = 'no answer yet'
  while (!deadline.aborted) {
    if (!child.running) throw child.describe(`ended with ${describeExit(await child.exited)} before it was ready`)
    try {
      const response = await fetch(`${adminUrl}/readyz`, { signal: deadline })
      last = `${response.status} ${(await response.text()).trim()}`
      if (response.ok && (await hasLinks(adminUrl, deadline))) return
    } catch (error) {
      last = String(error instanceof Error ? (error.cause ?? error) : error)
    }
    await Promise.race([child.exited, delay(25)])
  }
  throw child.describe(`was not ready within ${timeoutMs} ms (${last})`)
}

async function hasLinks(adminUrl: string, signal: AbortSignal): Promise<boolean> {
  const response = await fetch(`${adminUrl}/links`, { signal })
  const text = await response.text()
  // A former release has no such path, and is unready without them.
  if (!response.ok) return true
  const { redis, nats } = JSON.parse(text) as Partial<Record<'redis' | 'nats', { works: boolean }>>
  return redis?.works === true && nats?.works === true
}

function parseLogLine(text: string): LogLine {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null) return { ...parsed }
  } catch {
    // Not JSON: a crash of Node itself, for example.
  }
  return { msg: text }
}
