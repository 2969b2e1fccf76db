import { createWriteStream, type WriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { describeExit, type Exit } from '../test/kit/servers/child.ts'
import type { ClusterPorts } from './cluster-ports.ts'
import { startGateway, type GatewayProcess } from '../test/kit/servers/gateway-process.ts'
import { guard } from '../test/kit/servers/janitor.ts'
import { startNats } from '../test/kit/servers/nats-server.ts'
import { startRedis } from '../test/kit/servers/redis-server.ts'
import type { ServerProcess } from '../test/kit/servers/server-process.ts'

/** Redis, NATS and gateways gw-0, gw-1, … as processes of this machine. Disposing it drains and ends them all. */
export interface Cluster extends AsyncDisposable {
  readonly redis: ServerProcess
  readonly nats: ServerProcess
  readonly gateways: readonly GatewayProcess[]
  /** Holds `<brokerId>.log` of each gateway, until the cluster is disposed. */
  readonly logDirectory: string
  /** Resolves when a part ends that nobody asked to, with one line that says which and why. */
  readonly broken: Promise<string>
}

export interface ClusterOptions {
  readonly ports: ClusterPorts
  /** More settings of the gateways. */
  readonly env: Readonly<Record<string, string>>
  /** Sees each line that a gateway prints. */
  readonly onLine?: (brokerId: string, line: string) => void
}

const READY_DEADLINE_MS = 60_000
const FATAL = 60

/** Starts the cluster and resolves when every gateway is ready. When a part fails, ends the others and rejects. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  await using stack = new AsyncDisposableStack()
  const logDirectory = await mkdtemp(join(tmpdir(), 'im-dev-'))
  const release = guard('directory', logDirectory)
  stack.defer(async () => {
    await rm(logDirectory, { recursive: true, force: true })
    release()
  })
  const redis = stack.use(await startRedis({ port: options.ports.redis }))
  const nats = stack.use(await startNats({ port: options.ports.nats }))

  const gateways: GatewayProcess[] = []
  const logs: WriteStream[] = []
  stack.defer(async () => {
    // All drain at once.
    await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()))
    await Promise.all(logs.map((log) => finished(log.end())))
  })
  for (const [index, ports] of options.ports.gateways.entries()) {
    const brokerId = `gw-${index}`
    const log = createWriteStream(join(logDirectory, `${brokerId}.log`))
    logs.push(log)
    const gateway = await startGateway({
      brokerId,
      redisUrl: redis.url,
      natsUrl: nats.url,
      ports,
      env: options.env,
      skipReady: true,
      onLine(line) {
        log.write(`${line}\n`)
        options.onLine?.(brokerId, line)
      },
    })
    gateways.push(gateway)
  }

  const broken = Promise.race([
    redis.exited.then((exit) => `Redis (pid ${redis.pid}) ended with ${describeExit(exit)}`),
    nats.exited.then((exit) => `NATS (pid ${nats.pid}) ended with ${describeExit(exit)}`),
    ...gateways.map((gateway) => gateway.exited.then((exit) => describeEnd(gateway, exit))),
  ])
  const ready = Promise.all(gateways.map((gateway) => gateway.ready(READY_DEADLINE_MS)))
  ready.catch(() => {})
  const failure = await Promise.race([broken, ready.then(() => undefined)])
  if (failure !== undefined) throw new Error(failure)

  const parts = stack.move()
  return { redis, nats, gateways, logDirectory, broken, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

/** `gw-1 (pid 42) ended with code 1: why`, as far as its output tells. */
function describeEnd(gateway: GatewayProcess, exit: Exit): string {
  const lines = gateway.logs()
  // A failure that nobody caught is no log line, and Node prints more than the error.
  const last =
    lines.findLast(({ level }) => level === FATAL) ??
    lines.findLast(({ level, msg }) => level === undefined && /^(Uncaught )?\w*Error\b/.test(String(msg)))
  return `${gateway.brokerId} (pid ${gateway.pid}) ended with ${describeExit(exit)}${last ? `: ${String(last['msg'])}` : ''}`
}
