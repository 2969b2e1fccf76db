import { setTimeout as delay } from 'node:timers/promises'
import { startGenerator, type Generator } from '../load/generator.ts'
import { startCpuMeter } from '../measure/cpu.ts'
import { readRss } from '../measure/memory.ts'
import { lacksOpenFiles } from '../measure/open-files.ts'
import { readRedisCommands } from '../measure/redis-info.ts'
import type { PeerCluster } from '../peers/peer.ts'
import { peers, type PeerName } from '../peers/peers.ts'
import type { Work, WorkContext } from './work.ts'

const CONNECTIONS = 10_000
const AT_ONCE = 100
const REST_MS = 5 * 60_000
const WINDOW_MS = 60_000
/** As often as a gateway asks for one. */
const PING_MS = 25_000

export const w4: Work = {
  name: 'w4',
  title: 'W4: at rest',
  description:
    '10,000 users at one gateway of each peer, all peers at once, for 5 minutes in which nothing happens but heartbeats, a ping of each ' +
    'client in 25 s. The last minutes are measured. Memory is what the process has grown by since before the logins; commands are ' +
    'those that Redis runs.',
  peers: ['im', 'im-tcp', 'floor', 'socketio'],
  columns: {
    core: { title: 'gateway, % of a core', decimals: 2 },
    commands: { title: 'Redis commands/s', decimals: 0 },
    redisCore: { title: 'Redis, % of a core', decimals: 2 },
    bytes: { title: 'RSS a connection, KB', decimals: 1 },
    gatewayMb: { title: 'RSS without connections, MB', decimals: 0 },
  },
  plots: [
    { kind: 'bars', name: 'cpu', title: '10,000 connections at rest, % of a core', columns: ['core'] },
    { kind: 'bars', name: 'memory', title: 'RSS a connection at rest, KB', columns: ['bytes'] },
  ],
  estimateSeconds: (peers) => peers * 18 + REST_MS / 1000,
  lacks: () => Promise.resolve(lacksOpenFiles(CONNECTIONS)),
  run: runAtRest,
}

interface Resting {
  readonly name: PeerName
  readonly cluster: PeerCluster
  readonly generator: Generator
  readonly group: number
  /** RSS before the logins. */
  readonly emptyBytes: number
}

async function runAtRest(context: WorkContext): Promise<void> {
  const { rounds, scale, root } = context
  const connections = Math.ceil(CONNECTIONS * Math.min(1, scale))
  await using stack = new AsyncDisposableStack()
  const all: Resting[] = []
  for (const name of context.peers) {
    context.step(`logging in ${connections} users at ${name}`)
    const cluster = stack.use(await peers[name].start({ gateways: 1, root }))
    // One process may not hold the connections of all.
    const generator = stack.use(startGenerator())
    const emptyBytes = readRss(cluster.pids.gateways[0] ?? 0)
    const { wire, urls } = cluster
    const options = { wire, urls, count: connections, atOnce: AT_ONCE, prefix: 'rest-', pingMs: PING_MS }
    const group = await generator.call('openGroup', options)
    all.push({ name, cluster, generator, group, emptyBytes })
  }
  context.step('resting')
  const windowMs = Math.min(WINDOW_MS * scale, (REST_MS * scale) / rounds)
  await delay(Math.max(0, REST_MS * scale - rounds * windowMs))
  for (let round = 1; round <= rounds; round++) {
    context.step(`round ${round} of ${rounds}: all peers at rest`)
    const finish = await Promise.all(all.map((one) => startWindow(one)))
    await delay(windowMs)
    for (const [index, { name, generator, group, cluster, emptyBytes }] of all.entries()) {
      const lost = await generator.call('countLost', group)
      if (lost > 0) throw new Error(`${name}: ${lost} of ${connections} connections at rest were lost`)
      const bytes = (readRss(cluster.pids.gateways[0] ?? 0) - emptyBytes) / connections / 1024
      const figures = await finish[index]?.()
      context.record(name, { ...figures, bytes, gatewayMb: emptyBytes / 2 ** 20 })
    }
  }
}

/** Begins to measure; the result says, at the end of the window, what it has seen. */
async function startWindow({ cluster }: Resting): Promise<() => Promise<Record<string, number>>> {
  const { redisUrl, pids } = cluster
  const before = redisUrl === undefined ? 0 : await readRedisCommands(redisUrl)
  const readCpu = startCpuMeter(pids)
  const start = performance.now()
  return async () => {
    const { gateways, redis } = readCpu()
    const ms = performance.now() - start
    const core = gateways / 10 / ms
    if (redisUrl === undefined) return { core }
    const commands = (((await readRedisCommands(redisUrl)) - before) * 1000) / (performance.now() - start)
    return { core, redisCore: redis / 10 / ms, commands }
  }
}
