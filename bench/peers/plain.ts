import { fileURLToPath } from 'node:url'
import { startChild, type Child } from '../../test/kit/servers/child.ts'
import { findFreePorts } from '../../test/kit/servers/free-port.ts'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import type { FloorOptions } from './floor-options.ts'
import { startMonitoredNats } from './monitored-nats.ts'
import type { Peer, PeerCluster, PeerOptions } from './peer.ts'

const START_DEADLINE_MS = 60_000

/** The floor, a plain server of Node: see floor-server.ts. */
export function buildFloorPeer(title: string, { acks = false, broadcasts = false }): Peer {
  return { title, start: (options) => startFloor(options, acks, broadcasts) }
}

/** Socket.IO with its Redis adapter. */
export function buildSocketIoPeer(title: string, wire: 'socketio' | 'socketio-ack'): Peer {
  return { title, start: (options) => startSocketIo(options, wire) }
}

async function startFloor({ gateways, fault }: PeerOptions, acks: boolean, broadcasts: boolean): Promise<PeerCluster> {
  await using stack = new AsyncDisposableStack()
  const nats = stack.use(await startMonitoredNats())
  const ports = await findFreePorts(gateways)
  const children: Child[] = []
  for (const [index, port] of ports.entries()) {
    const options: FloorOptions = { id: String(index), port, natsUrl: nats.url, acks, broadcasts, fault }
    children.push(stack.use(await startScript('floor-server.ts', options)))
  }
  const running = stack.move()
  return {
    wire: acks ? 'floor-ack' : 'floor',
    natsMonitorUrl: nats.monitorUrl,
    ...describe(children, ports, { nats: [nats.pid] }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

async function startSocketIo({ gateways }: PeerOptions, wire: 'socketio' | 'socketio-ack'): Promise<PeerCluster> {
  await using stack = new AsyncDisposableStack()
  const redis = stack.use(await startRedis({ persistent: false }))
  const ports = await findFreePorts(gateways)
  const children: Child[] = []
  for (const port of ports) {
    children.push(stack.use(await startScript('socketio-server.mjs', { port, redisUrl: redis.url })))
  }
  const running = stack.move()
  return {
    wire,
    redisUrl: redis.url,
    ...describe(children, ports, { redis: [redis.pid] }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

async function startScript(name: string, options: object): Promise<Child> {
  const file = fileURLToPath(new URL(name, import.meta.url))
  const child = await startChild(process.execPath, [file, JSON.stringify(options)], { name })
  try {
    await child.waitForLine((line) => line === 'ready', START_DEADLINE_MS)
    return child
  } catch (error) {
    await child.stop('SIGKILL')
    throw error
  }
}

function describe(
  children: readonly Child[],
  ports: readonly number[],
  brokers: { redis?: number[]; nats?: number[] },
) {
  return {
    durable: false,
    urls: ports.map((port) => `ws://127.0.0.1:${port}`),
    pids: { gateways: children.map(({ pid }) => pid), redis: brokers.redis ?? [], nats: brokers.nats ?? [] },
    kill: (index: number) => children[index]?.kill('SIGKILL'),
  }
}
