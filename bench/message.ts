import { Command } from 'commander'
import { startGateway, type GatewayProcess } from '../test/kit/servers/gateway-process.ts'
import { startNats } from '../test/kit/servers/nats-server.ts'
import { startRedis } from '../test/kit/servers/redis-server.ts'
import { addVersionOptions, buildIntegerOption, type VersionOptions } from './command-options.ts'
import { startCpuMeter } from './cpu.ts'
import { startLoad, type LoadOptions } from './load.ts'
import { findVersions, runRounds, type Subject, type Version } from './rounds.ts'
import { MIN_PAYLOAD_BYTES } from './user.ts'

interface MessageOptions extends VersionOptions {
  readonly pairs: number
  readonly seconds: number
  readonly warmUp: number
  readonly inFlight: number
  readonly rate: number
  readonly payload: number
  readonly sameGateway?: true
  readonly tcp?: true
  readonly transient?: true
}

/** CPU time is in µs per delivered message. */
const columns = {
  gateways: ['gateways µs', 1],
  redis: ['Redis µs', 1],
  nats: ['NATS µs', 1],
  load: ['load µs', 1],
  perSecond: ['messages/s', 0],
  p50Ms: ['p50 ms', 2],
  p99Ms: ['p99 ms', 2],
} as const
type Figures = keyof typeof columns

/** Short, so that two versions are measured side by side; long enough for 10 ms, to which CPU time is known, to be little. */
const SLICE_SECONDS = 2
/** Starting and stopping the servers of a version, about. */
const AROUND_SECONDS = 8

/** `npm run bench -- message`: what a message costs, measured from outside. */
export function buildMessageCommand(print: (line: string) => void): Command {
  const command = new Command('message')
    .summary('CPU time per delivered message, throughput and latency')
    .description(
      'Starts a Redis without persistence, a NATS server and two gateways as processes of this machine, logs in pairs of users ' +
        'who send to each other from gateway to gateway, and prints per delivered message the CPU time (user and system, from ' +
        "/proc, so on Linux only) of the gateways together, of Redis, of NATS, and of the load itself; the throughput; and the latency, from a message's " +
        'due time to its arrival. Ends with code 1 when a message is lost, doubled or out of order.',
    )
    .addOption(buildIntegerOption('--pairs <n>', 'pairs of users, one user of each at each gateway', 100, [1, 5000]))
    .addOption(buildIntegerOption('--seconds <n>', 'how long to measure in a round, in slices of 2 s', 10, [1, 120]))
    .addOption(buildIntegerOption('--warm-up <n>', 'seconds of load before that, in each round', 7, [0, 120]))
    .addOption(buildIntegerOption('--in-flight <n>', 'unanswered sends of a user', 32, [1, 64]))
    .addOption(buildIntegerOption('--rate <n>', 'messages/s in all; 0 for as fast as it goes', 0, [0, 100_000]))
    .addOption(buildIntegerOption('--payload <bytes>', 'size of a message', 128, [MIN_PAYLOAD_BYTES, 32_768]))
    .option('--same-gateway', 'one gateway, with all users at it')
    .option('--tcp', 'raw TCP instead of WebSocket')
    .option('--transient', 'messages that are not stored')
  return addVersionOptions(command).action((options: MessageOptions) => runMessage(options, print))
}

async function runMessage(options: MessageOptions, print: (line: string) => void): Promise<void> {
  const versions = findVersions(options.gateway, options.vs)
  const load = `${options.pairs} pairs at ${options.sameGateway ? 'one gateway' : 'two gateways'}`
  const kind = `${options.transient ? 'transient' : 'durable'}, ${options.tcp ? 'TCP' : 'WebSocket'}`
  const rate = options.rate === 0 ? 'as fast as it goes' : `${options.rate} messages/s`
  const seconds = versions.length * options.rounds * (options.warmUp + options.seconds + AROUND_SECONDS)
  print(`${load}, ${kind}, ${options.inFlight} unanswered sends a user, payload ${options.payload} bytes, ${rate}`)
  print(
    `${options.seconds} s measured after ${options.warmUp} s, ${options.rounds} times; about ${Math.ceil(seconds / 60)} min`,
  )
  await runRounds({
    versions,
    rounds: options.rounds,
    slices: Math.ceil(options.seconds / SLICE_SECONDS),
    columns,
    open: (version) => openSubject(version, options),
    print,
  })
  print('lost, doubled, out of order: none')
}

/** Starts servers of its own, logs in the users, and warms up. */
async function openSubject({ folder }: Version, options: MessageOptions): Promise<Subject<Figures>> {
  await using stack = new AsyncDisposableStack()
  const redis = stack.use(await startRedis({ persistent: false }))
  const nats = stack.use(await startNats())
  const gateways: GatewayProcess[] = []
  for (const brokerId of options.sameGateway ? ['bench-0'] : ['bench-0', 'bench-1']) {
    const gateway = await startGateway({
      brokerId,
      redisUrl: redis.url,
      natsUrl: nats.url,
      root: folder,
      // The limit is there for clients that misbehave; few users at full speed would measure nothing else.
      env: { IM_MAX_FRAMES_PER_SECOND: '1000000' },
    })
    gateways.push(stack.use(gateway))
    // Nothing of its is needed at the end, and a drain would take its time.
    stack.defer(() => gateway.kill('SIGKILL'))
  }
  const urls = gateways.map(({ tcpUrl, wsUrl }) => (options.tcp ? tcpUrl : wsUrl))
  const kind: LoadOptions = {
    pairs: options.pairs,
    rate: options.rate,
    inFlight: options.inFlight,
    payloadBytes: options.payload,
    durable: !options.transient,
  }
  const load = stack.use(await startLoad([urls[0] ?? '', urls.at(-1) ?? ''], kind))
  if (options.warmUp > 0) await load.run(options.warmUp * 1000)
  const pids = { gateways: gateways.map(({ pid }) => pid), redis: [redis.pid], nats: [nats.pid], load: [process.pid] }
  const running = stack.move()
  return {
    async measure() {
      const readCpu = startCpuMeter(pids)
      const { count, ...deliveries } = await load.run(Math.min(SLICE_SECONDS, options.seconds) * 1000)
      if (count === 0) throw new Error('no message came while it was measured; give a higher --rate')
      const cpu = readCpu()
      for (const name of Object.keys(cpu) as (keyof typeof cpu)[]) cpu[name] /= count
      return { ...cpu, ...deliveries }
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
