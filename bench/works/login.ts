import { setTimeout as delay } from 'node:timers/promises'
import { startGenerator } from '../load/generator.ts'
import { startCpuMeter } from '../measure/cpu.ts'
import type { PeerCluster } from '../peers/peer.ts'
import { peers, type PeerName } from '../peers/peers.ts'
import type { Work } from './work.ts'

const LOGINS = 2000
const AT_ONCE = 50
const SECRET = 'a secret of the bench, which guards nothing at all'
/** For the other side to see that the connections are gone. */
const SETTLE_MS = 1500

export const login: Work = {
  name: 'login',
  title: 'Logins',
  description:
    '2,000 users log in at one gateway, 50 at once, after as many to warm up. CPU time per login: connection, upgrade to WebSocket ' +
    'where there is one, and login. im-cluster checks an HS256 token and writes the session to Redis; Socket.IO joins a room; ' +
    'neither Socket.IO nor the floor checks anything.',
  peers: ['im', 'im-tcp', 'floor', 'socketio'],
  columns: {
    gatewaysUs: { title: 'gateway µs', decimals: 0 },
    redisUs: { title: 'Redis µs', decimals: 0 },
    perSecond: { title: 'logins/s', decimals: 0 },
  },
  plots: [{ kind: 'bars', name: 'cpu', title: 'CPU µs per login', columns: ['gatewaysUs', 'redisUs'] }],
  estimateSeconds: (peers, rounds) => peers * (3 + (1 + rounds) * 3.5),
  async run(context) {
    await using stack = new AsyncDisposableStack()
    const generator = stack.use(startGenerator())
    const count = Math.ceil(LOGINS * context.scale)
    const logIn = async ({ wire, urls }: PeerCluster, name: PeerName, round: number) => {
      const secret = wire === 'im' ? { secret: SECRET } : {}
      const users = { prefix: `${name}-${round}-`, count, atOnce: AT_ONCE }
      return generator.call('openGroup', { wire, urls, ...users, ...secret })
    }
    const clusters = new Map<PeerName, PeerCluster>()
    const env = { IM_AUTH_MODE: 'secret', IM_AUTH_SECRET: SECRET }
    for (const name of context.peers) {
      context.step(`starting and warming up ${name}`)
      const cluster = stack.use(await peers[name].start({ gateways: 1, root: context.root, env }))
      clusters.set(name, cluster)
      await generator.call('closeGroup', await logIn(cluster, name, 0))
      await delay(SETTLE_MS)
    }
    for (let round = 1; round <= context.rounds; round++) {
      for (const [name, cluster] of round % 2 === 1 ? clusters : [...clusters].toReversed()) {
        context.step(`round ${round} of ${context.rounds}: ${name}`)
        const readCpu = startCpuMeter(cluster.pids)
        const start = performance.now()
        const group = await logIn(cluster, name, round)
        const perSecond = (count * 1000) / (performance.now() - start)
        const { gateways, redis } = readCpu()
        const redisUs = cluster.pids.redis.length > 0 ? { redisUs: redis / count } : {}
        context.record(name, { gatewaysUs: gateways / count, ...redisUs, perSecond })
        await generator.call('closeGroup', group)
        await delay(SETTLE_MS)
      }
    }
  },
}
