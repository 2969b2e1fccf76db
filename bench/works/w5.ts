import { startGenerator } from '../load/generator.ts'
import { readNatsMessages } from '../peers/monitored-nats.ts'
import { peers, type PeerName } from '../peers/peers.ts'
import { buildPairsFigures, pairsColumns } from './pairs.ts'
import { openSubject, type Subject } from './subject.ts'
import type { Work, WorkContext } from './work.ts'

const SIZES = [2, 4, 8, 16] as const
const MESSAGES_PER_SECOND = 2000
/** Of full load for each gateway of a cluster, so that each has had as much to warm up with. */
const WARM_UP_MS_PER_GATEWAY = 1000
const SLICE_MS = 2500

export const w5: Work = {
  name: 'w5',
  title: 'W5: 2 to 16 gateways',
  description:
    'The pairs and the rate of W1b over 2, 4, 8 and 16 gateways; partners are always at two gateways, so the share of messages that ' +
    'cross is the same. Each gateway is warmed up alike. "broadcast" is the floor that sends each message to all gateways instead of ' +
    'the one that holds the recipient: what there would be without a routing layer. Bus messages are those that NATS hands out.',
  peers: ['im', 'floor-ack', 'broadcast'],
  columns: { ...pairsColumns, busMessages: { title: 'bus messages', decimals: 2 } },
  plots: [
    {
      kind: 'lines',
      name: 'cpu',
      title: 'CPU µs of all gateways per message, by number of gateways',
      columns: ['gatewaysUs'],
    },
    {
      kind: 'lines',
      name: 'bus',
      title: 'Why there is a routing layer: bus messages per user message, by number of gateways',
      columns: ['busMessages'],
    },
  ],
  estimateSeconds: (peers, rounds) =>
    peers * SIZES.reduce((sum, size) => sum + size + 2 + size * 0.7 + rounds * (SLICE_MS / 1000 + 0.5), 0),
  async run(context) {
    for (const size of SIZES) await runSize(context, size)
  },
}

async function runSize(context: WorkContext, size: number): Promise<void> {
  const { rounds, root, scale, fault } = context
  await using stack = new AsyncDisposableStack()
  const generator = stack.use(startGenerator())
  const subjects: { name: PeerName; subject: Subject }[] = []
  const sizes = { gateways: size, pairs: 100, inFlight: 32, payloadBytes: 128 }
  for (const name of context.peers) {
    context.step(`starting and warming up ${name} with ${size} gateways`)
    const subject = stack.use(await openSubject(peers[name], generator, { ...sizes, root, fault }))
    subjects.push({ name, subject })
    await subject.run({ ms: WARM_UP_MS_PER_GATEWAY * size * scale, rate: 0 })
    await subject.run({ ms: SLICE_MS * scale, rate: MESSAGES_PER_SECOND })
  }
  for (let round = 1; round <= rounds; round++) {
    for (const { name, subject } of round % 2 === 1 ? subjects : subjects.toReversed()) {
      context.step(`round ${round} of ${rounds}: ${name} with ${size} gateways`)
      const monitor = subject.cluster.natsMonitorUrl ?? ''
      const before = await readNatsMessages(monitor)
      const measured = await subject.run({ ms: SLICE_MS * scale, rate: MESSAGES_PER_SECOND })
      const busMessages = ((await readNatsMessages(monitor)) - before) / measured.count
      context.record(`${name} × ${size}`, { ...buildPairsFigures(measured), busMessages })
    }
  }
}
