import { Command } from 'commander'
import { addVersionOptions, buildIntegerOption, type VersionOptions } from '../command-options.ts'
import { startGenerator } from '../load/generator.ts'
import { MIN_PAYLOAD_BYTES } from '../load/wires/wire.ts'
import { buildImPeer } from '../peers/im.ts'
import { pairsColumns } from '../works/pairs.ts'
import { openSubject } from '../works/subject.ts'
import { findVersions, runRounds, type Subject, type Version } from './rounds.ts'

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

/** Short, so that two versions are measured side by side; long enough for 10 ms, to which CPU time is known, to be little. */
const SLICE_SECONDS = 2
/** Starting and stopping the servers of a version, about. */
const AROUND_SECONDS = 8

/** `npm run bench -- message`: what a message costs, measured from outside. */
export function buildMessageCommand(print: (line: string) => void): Command {
  const command = new Command('message')
    .summary('CPU time per delivered message, throughput and latency, of one checkout or two')
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
    columns: pairsColumns,
    open: (version) => openVersion(version, options),
    print,
  })
  print('lost, doubled, out of order: none')
}

/** Starts servers of its own, logs in the users, and warms up. */
async function openVersion({ folder }: Version, options: MessageOptions): Promise<Subject<keyof typeof pairsColumns>> {
  await using stack = new AsyncDisposableStack()
  const generator = stack.use(startGenerator())
  const { pairs, rate, inFlight, payload: payloadBytes } = options
  const gateways = options.sameGateway ? 1 : 2
  const subject = stack.use(
    await openSubject(buildImPeer('im', { tcp: options.tcp ?? false, durable: !options.transient }), generator, {
      gateways,
      root: folder,
      pairs,
      inFlight,
      payloadBytes,
    }),
  )
  if (options.warmUp > 0) await subject.run({ ms: options.warmUp * 1000, rate })
  const running = stack.move()
  return {
    async measure() {
      const { cpu, count, perSecond, p50Ms, p99Ms } = await subject.run({
        ms: Math.min(SLICE_SECONDS, options.seconds) * 1000,
        rate,
      })
      return {
        gatewaysUs: cpu.gateways / count,
        redisUs: cpu.redis / count,
        natsUs: cpu.nats / count,
        loadUs: cpu.load / count,
        perSecond,
        p50Ms,
        p99Ms,
      }
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
