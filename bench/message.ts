import { join } from 'node:path'
import { Command } from 'commander'
import { startGateway } from '../dev/gateway-process.ts'
import { startNats } from '../dev/nats-server.ts'
import { startRedis } from '../dev/redis-server.ts'
import { addVersionOptions, buildIntegerOption, type VersionOptions } from './command-options.ts'
import { startCpuMeter } from './cpu.ts'
import { startLoad, type LoadOptions } from './load.ts'
import { findVersions, runRounds, type Columns, type Version } from './rounds.ts'
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
interface MessageFigures {
  readonly gateways: number
  readonly redis: number
  readonly nats: number
  readonly load: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const columns: Columns<MessageFigures> = {
  gateways: ['gateways µs', 1],
  redis: ['Redis µs', 1],
  nats: ['NATS µs', 1],
  load: ['load µs', 1],
  perSecond: ['messages/s', 0],
  p50Ms: ['p50 ms', 2],
  p99Ms: ['p99 ms', 2],
}
/** Starting and stopping the servers, about. */
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
    .addOption(buildIntegerOption('--seconds <n>', 'how long to measure', 10, [1, 120]))
    .addOption(buildIntegerOption('--warm-up <n>', 'seconds of load before that', 7, [0, 120]))
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
  print(`${options.seconds} s measured after ${options.warmUp} s; about ${Math.ceil(seconds / 60)} min in all`)
  await runRounds({
    versions,
    rounds: options.rounds,
    columns,
    measure: (version) => measureMessage(version, options),
    print,
  })
  print('lost, doubled, out of order: none')
}

/** One measurement, with servers of its own. @throws Error when a message is lost, doubled or out of order */
async function measureMessage({ folder }: Version, options: MessageOptions): Promise<MessageFigures> {
  await using redis = await startRedis({ persistent: false })
  await using nats = await startNats()
  const start = (brokerId: string) =>
    startGateway({
      brokerId,
      redisUrl: redis.url,
      natsUrl: nats.url,
      root: folder,
      // The limit is there for clients that misbehave; few users at full speed would measure nothing else.
      env: { IM_MAX_FRAMES_PER_SECOND: '1000000' },
    })
  await using first = await start('bench-0')
  await using second = options.sameGateway ? undefined : await start('bench-1')
  const gateways = second ? [first, second] : [first]
  const urls = gateways.map(({ tcpUrl, wsUrl }) => (options.tcp ? tcpUrl : wsUrl))
  const kind: LoadOptions = {
    pairs: options.pairs,
    rate: options.rate,
    inFlight: options.inFlight,
    payloadBytes: options.payload,
    durable: !options.transient,
  }
  using load = await startLoad([urls[0] ?? '', urls.at(-1) ?? ''], kind)
  await load.run(options.warmUp * 1000)
  const pids = gateways.map(({ pid }) => pid)
  const readCpu = startCpuMeter({ gateways: pids, redis: [redis.pid], nats: [nats.pid], load: [process.pid] })
  const { count, ...deliveries } = await load.run(options.seconds * 1000)
  const cpu = readCpu()
  const { lost, doubled, disordered } = await load.finish()
  if (lost + doubled + disordered > 0) {
    throw new Error(`messages lost: ${lost}, doubled: ${doubled}, out of order: ${disordered}`)
  }
  if (count === 0) throw new Error('no message came while it was measured; give more --seconds, or a higher --rate')
  // Nothing of theirs is needed any more, and a drain would take its time.
  for (const gateway of gateways) gateway.kill('SIGKILL')
  const [gatewaysUs, redisUs, natsUs, loadUs] = [cpu.gateways, cpu.redis, cpu.nats, cpu.load].map((us) => us / count)
  return { gateways: gatewaysUs ?? 0, redis: redisUs ?? 0, nats: natsUs ?? 0, load: loadUs ?? 0, ...deliveries }
}
