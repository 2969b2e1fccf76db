import { startGenerator, type Generator } from '../load/generator.ts'
import { startCpuMeter } from '../measure/cpu.ts'
import type { PeerCluster } from '../peers/peer.ts'
import { peers } from '../peers/peers.ts'
import { FaultError, type Figures, type Work } from './work.ts'

const ONE = 50_000
const DEVICES = 100
const EACH = 1000
const PAYLOAD_BYTES = 128

export const w6: Work = {
  name: 'w6',
  title: 'W6: catching up',
  description:
    'A device connects and gets the 50,000 messages of 128 bytes that wait in its inbox; then 100 devices of as many users get 1,000 ' +
    'each, at once. All at one gateway. Messages a second are from the connection to the last message.',
  peers: ['im'],
  columns: {
    perSecond: { title: 'messages/s', decimals: 0 },
    gatewaysUs: { title: 'gateway µs', decimals: 1 },
    redisUs: { title: 'Redis µs', decimals: 1 },
  },
  plots: [{ kind: 'bars', name: 'rate', title: 'Messages a second, catching up', columns: ['perSecond'] }],
  estimateSeconds: (peers, rounds) => peers * (25 + rounds * 12),
  async run(context) {
    await using stack = new AsyncDisposableStack()
    const generator = stack.use(startGenerator())
    const [one, each] = [Math.ceil(ONE * context.scale), Math.ceil(EACH * context.scale)]
    const many = Array.from({ length: DEVICES }, (_, index) => `many-${index}`)
    const env = { IM_INBOX_MAX_LENGTH: String(2 * ONE) }
    const clusters = []
    for (const name of context.peers) {
      context.step(`filling the inboxes of ${name}`)
      const cluster = stack.use(await peers[name].start({ gateways: 1, root: context.root, env }))
      const at = { wire: cluster.wire, url: cluster.urls[0] ?? '', payloadBytes: PAYLOAD_BYTES }
      await generator.call('fill', { ...at, recipients: ['one'], count: one })
      await generator.call('fill', { ...at, recipients: many, count: each })
      clusters.push({ name, cluster })
      // Round 0 is the warm-up.
      await catchUp(cluster, generator, many, each, 0)
    }
    for (let round = 1; round <= context.rounds; round++) {
      for (const { name, cluster } of clusters) {
        context.step(`round ${round} of ${context.rounds}: ${name}`)
        context.record(`${name}, one device`, await catchUp(cluster, generator, ['one'], one, round))
        context.record(`${name}, 100 devices`, await catchUp(cluster, generator, many, each, round))
      }
    }
  },
}

async function catchUp(
  { wire, urls, pids }: PeerCluster,
  generator: Generator,
  userIds: readonly string[],
  count: number,
  round: number,
): Promise<Figures> {
  const readCpu = startCpuMeter(pids)
  const options = { wire, url: urls[0] ?? '', userIds, imei: `round-${round}`, count }
  const { ms, doubled, disordered } = await generator.call('catchUp', options)
  const { gateways, redis } = readCpu()
  if (doubled + disordered > 0) {
    throw new FaultError(`catching up: messages doubled: ${doubled}, out of order: ${disordered}`)
  }
  const messages = userIds.length * count
  return { perSecond: (messages * 1000) / ms, gatewaysUs: gateways / messages, redisUs: redis / messages }
}
