import { startGenerator } from '../load/generator.ts'
import { startCpuMeter } from '../measure/cpu.ts'
import { lacksOpenFiles } from '../measure/open-files.ts'
import { peers } from '../peers/peers.ts'
import { openSubject } from './subject.ts'
import type { Work, WorkContext } from './work.ts'

const CLIENTS = 5000
const LIVE_PAIRS = 20
const LIVE_RATE = 500
const WARM_UP_MS = 5000
const LIVE_MS = 4000

export const storm: Work = {
  name: 'storm',
  title: 'Storm: a gateway with 5,000 clients is killed',
  description:
    'Three gateways; 5,000 clients at the first, which is ended with SIGKILL. They come back to the two others as the SDK does, the ' +
    'first time within 200 ms. Meanwhile 20 pairs of users at those two go on with 500 messages a second; their latency is from the ' +
    'kill on for 4 s, and as long before it. An attempt is thrown out when it ends otherwise than with a login or the advice to go elsewhere.',
  peers: ['im'],
  columns: {
    seconds: { title: 'all back, s', decimals: 1 },
    attempts: { title: 'attempts', decimals: 0 },
    sentElsewhere: { title: 'sent elsewhere', decimals: 0 },
    thrownOut: { title: 'thrown out', decimals: 0 },
    calmP99Ms: { title: 'live p99 before, ms', decimals: 1 },
    liveP99Ms: { title: 'live p99, ms', decimals: 1 },
    clientUs: { title: 'CPU µs a client', decimals: 0 },
  },
  plots: [],
  estimateSeconds: (_, rounds) => rounds * 28,
  lacks: () => Promise.resolve(lacksOpenFiles(CLIENTS)),
  async run(context) {
    for (let round = 1; round <= context.rounds; round++) await runRound(context, round)
  },
}

async function runRound(context: WorkContext, round: number): Promise<void> {
  const { rounds, root, scale, fault } = context
  await using stack = new AsyncDisposableStack()
  // One each: clients who come back must not hold up those who are measured.
  const [live, returning] = [stack.use(startGenerator()), stack.use(startGenerator())]
  context.step(`round ${round} of ${rounds}: logging in`)
  const sizes = { pairs: LIVE_PAIRS, inFlight: 32, payloadBytes: 128, fromGateway: 1 }
  const subject = stack.use(await openSubject(peers.im, live, { ...sizes, gateways: 3, root, fault }))
  const { cluster } = subject
  const { urls, pids, wire } = cluster
  const [url = '', ...others] = urls
  const count = Math.ceil(CLIENTS * scale)
  const id = await returning.call('startStorm', { wire, url, others, count })
  await subject.run({ ms: WARM_UP_MS * scale, rate: 0 })
  const calm = await subject.run({ ms: LIVE_MS * scale, rate: LIVE_RATE })
  context.step(`round ${round} of ${rounds}: the kill`)
  const readCpu = startCpuMeter({ survivors: pids.gateways.slice(1) })
  const running = subject.run({ ms: LIVE_MS, rate: LIVE_RATE, survivors: true })
  cluster.kill?.(0)
  const { ms, ...counts } = await returning.call('awaitReturn', id)
  const clientUs = readCpu().survivors / count
  const { p99Ms } = await running
  context.record('im', { seconds: ms / 1000, ...counts, calmP99Ms: calm.p99Ms, liveP99Ms: p99Ms, clientUs })
}
