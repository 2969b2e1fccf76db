import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { findFreePort } from './servers/free-port.ts'
import { LOCAL_HOST } from './servers/local-host.ts'
import { startRedis, type RedisServer } from './servers/redis-server.ts'
import { startServer } from './servers/server-process.ts'
import { RedisWay } from './redis-way.ts'
import { until } from './wait.ts'

/** A Redis with a replica that can be kept from what is written last, so that a failover loses that for sure. */
export interface ReplicatedRedis extends AsyncDisposable {
  /** What a gateway takes as IM_REDIS_URL. */
  readonly url: string
  /** Lets the replica get all that was written so far, and nothing from then on. */
  cut(): Promise<void>
  /** Kills the primary; resolves when the replica is primary. */
  failOver(): Promise<void>
}

/** How replicas log in at their primary; a primary that refuses it is cut from them. */
const REPLICATION_USER = 'replication'
const REPLICATION_PASSWORD = 'for tests'
const replicaConfig = ['--masteruser', REPLICATION_USER, '--masterauth', REPLICATION_PASSWORD]
/** A replica is brought up to date at once, and stays one that may be promoted however long it was cut. */
const quickSync = ['--repl-diskless-sync-delay', '0']
const SLOTS = 16_384

/** One server, and a connection to give it orders. */
class Node implements AsyncDisposable {
  readonly server: RedisServer
  readonly admin: Redis

  private constructor(server: RedisServer, host: string) {
    this.server = server
    this.admin = new Redis({ host, port: server.port, protocol: 2, retryStrategy: () => 50 })
    this.admin.on('error', () => undefined)
  }

  static async start(config: readonly string[], host = LOCAL_HOST): Promise<Node> {
    const common = [...quickSync, ...replicaConfig]
    const node = new Node(await startRedis({ persistent: false, host, config: [...common, ...config] }), host)
    const rights = ['+psync', '+replconf', '+ping']
    await node.admin.call('ACL', 'SETUSER', REPLICATION_USER, 'on', `>${REPLICATION_PASSWORD}`, ...rights)
    return node
  }

  /** A field of INFO replication. */
  async replication(field: string): Promise<string> {
    const info = await this.admin.info('replication')
    return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.admin.disconnect()
    await this.server[Symbol.asyncDispose]()
  }
}

async function awaitReplica(replica: Node): Promise<void> {
  await until('the replica is up to date', async () => (await replica.replication('master_link_status')) === 'up')
}

async function cutReplica(primary: Node, replica: Node): Promise<void> {
  const written = Number(await primary.replication('master_repl_offset'))
  await until('the replica has it all', async () => Number(await replica.replication('slave_repl_offset')) >= written)
  await primary.admin.call('ACL', 'SETUSER', REPLICATION_USER, 'off')
  await primary.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
  await until('the replica is cut', async () => (await replica.replication('master_link_status')) === 'down')
}

async function killPrimary(primary: Node): Promise<void> {
  primary.admin.disconnect()
  await primary.server.stop('SIGKILL')
}

async function awaitPromotion(replica: Node): Promise<void> {
  await until('the replica is primary', async () => (await replica.replication('role')) === 'master')
}

async function startPair(stack: AsyncDisposableStack, host = LOCAL_HOST): Promise<{ primary: Node; replica: Node }> {
  const primary = stack.use(await Node.start([], host))
  const replica = stack.use(await Node.start(['--replicaof', host, String(primary.server.port)], host))
  await awaitReplica(replica)
  return { primary, replica }
}

/** Primary and replica, and a sentinel that finds and replaces the primary. */
export async function startSentinelSet(host = LOCAL_HOST): Promise<ReplicatedRedis> {
  await using stack = new AsyncDisposableStack()
  const { primary, replica } = await startPair(stack, host)
  const sentinel = stack.use(
    await startServer({
      name: 'redis',
      host,
      buildArgs(address, port, directory) {
        const lines = [
          `port ${port}`,
          `bind ${address}`,
          'protected-mode no',
          `sentinel monitor main ${host} ${primary.server.port} 1`,
          // Ten times as long a replica that was cut may still be promoted.
          'sentinel down-after-milliseconds main 2000',
          'sentinel failover-timeout main 10000',
        ]
        // A sentinel rewrites its configuration: it must be a file.
        writeFileSync(join(directory, 'sentinel.conf'), `${lines.join('\n')}\n`)
        return [join(directory, 'sentinel.conf'), '--sentinel']
      },
      readyLine: '+monitor master',
      probe: { request: 'PING\r\n', answer: '+PONG' },
    }),
  )
  const admin = new Redis({ host, port: sentinel.port, protocol: 2, enableReadyCheck: false })
  stack.defer(() => admin.disconnect())
  await until('the sentinel knows the replica', async () => {
    const replicas = JSON.stringify(await admin.call('SENTINEL', 'REPLICAS', 'main'))
    return replicas.includes('"master-link-status","ok"')
  })
  const disposal = stack.move()
  return {
    url: `redis-sentinel://${new URL(sentinel.url).host}/main`,
    cut: () => cutReplica(primary, replica),
    async failOver() {
      await killPrimary(primary)
      await awaitPromotion(replica)
    },
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  }
}

/** Primary and replica behind a proxy that leads to whichever is primary, and keeps its clients over a failover. */
export async function startHiddenPair(): Promise<ReplicatedRedis> {
  await using stack = new AsyncDisposableStack()
  const { primary, replica } = await startPair(stack)
  const way = stack.use(await RedisWay.start(primary.server.url, { hiding: true }))
  const disposal = stack.move()
  return {
    url: way.url,
    cut: () => cutReplica(primary, replica),
    async failOver() {
      await killPrimary(primary)
      await replica.admin.replicaof('NO', 'ONE')
      await awaitPromotion(replica)
      way.retarget(replica.server.url)
    },
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  }
}

/** A Redis Cluster of three primaries, of which the one that holds `key` has a replica, and is the one that is killed. */
export async function startRedisCluster(key: string, host = LOCAL_HOST): Promise<ReplicatedRedis> {
  await using stack = new AsyncDisposableStack()
  const startNode = async () => {
    const bus = await findFreePort()
    const options = { 'cluster-enabled': 'yes', 'cluster-port': bus, 'cluster-node-timeout': 1000 }
    const config = Object.entries({ ...options, 'cluster-replica-validity-factor': 0 })
    const args = config.flatMap(([name, value]) => [`--${name}`, String(value)])
    return { bus, node: stack.use(await Node.start(args, host)) }
  }
  const primaries = [await startNode(), await startNode(), await startNode()]
  const replica = await startNode()
  const seed = primaries[0]?.node.admin
  for (const [at, { node }] of primaries.entries()) {
    const [from, next] = [at, at + 1].map((part) => Math.ceil((SLOTS * part) / primaries.length))
    await node.admin.call('CLUSTER', 'ADDSLOTSRANGE', String(from), String((next ?? 0) - 1))
    await node.admin.call('CLUSTER', 'SET-CONFIG-EPOCH', String(at + 1))
  }
  for (const { node, bus } of [...primaries, replica]) {
    await seed?.call('CLUSTER', 'MEET', host, String(node.server.port), String(bus))
  }
  const everybody = [...primaries, replica].map(({ node }) => node)
  const awaitWhole = (nodes: readonly Node[], known: number) =>
    until('the cluster is whole', async () => {
      const infos = await Promise.all(nodes.map(({ admin }) => admin.cluster('INFO')))
      return infos.every((info) => info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${known}`))
    })
  await awaitWhole(everybody, 4)
  const slot = (await seed?.cluster('KEYSLOT', key)) ?? 0
  const primary = primaries[Math.floor((slot * primaries.length) / SLOTS)]?.node
  if (primary === undefined) throw new Error(`no primary has the slot ${slot}`)
  await replica.node.admin.call('CLUSTER', 'REPLICATE', String(await primary.admin.call('CLUSTER', 'MYID')))
  await awaitReplica(replica.node)
  const disposal = stack.move()
  return {
    url: `redis-cluster://${everybody.map(({ server }) => new URL(server.url).host).join(',')}`,
    cut: () => cutReplica(primary, replica.node),
    async failOver() {
      await killPrimary(primary)
      await awaitPromotion(replica.node)
      await awaitWhole(
        everybody.filter((node) => node !== primary),
        4,
      )
    },
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  }
}
