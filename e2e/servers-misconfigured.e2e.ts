import { after, before, describe, test } from 'node:test'
import { buildNats, TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'

/** Gateways read how Redis is set up once a minute, and the operator comes by twice a minute at rest. */
const TOLD_MS = 180_000
/** No part of it may be in a status. */
const PASSWORD = 'hunter2hunter2'

const rights = (permissions: object) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'nats' },
  data: {
    'nats.conf': JSON.stringify({ authorization: { users: [{ user: 'im', password: PASSWORD, permissions }] } }),
  },
})
const all = { publish: 'broker.*', subscribe: 'broker.*' }

describe('Redis and NATS that answer, and are not set up as a cluster needs it', () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await TestCluster.prepare()
    await cluster.apply({ replicas: 1 })
    await cluster.waitUntilSettled(1)
  })
  after(() => cluster[Symbol.asyncDispose]())

  /** Waits for a condition in these words, and that nothing of a password is in them. */
  const says = (of: TestCluster, type: string, status: string, reason: string, words: RegExp) =>
    waitFor(`${type}=${status} ${reason}: ${String(words)}`, TOLD_MS, async () => {
      const found = (await of.read()).status?.conditions.find((condition) => condition.type === type)
      if (found === undefined || found.message.includes(PASSWORD)) throw new Error(JSON.stringify(found))
      if (found.status === status && found.reason === reason && words.test(found.message)) return true
      throw new Error(`${found.status} ${found.reason}: ${found.message}`)
    })
  const mended = async (of: TestCluster = cluster) => {
    await of.waitForCondition('Degraded', 'False', TOLD_MS, 'AsExpected')
    await of.waitForCondition('Ready', 'True', TOLD_MS)
  }
  const configure = (...settings: readonly string[]) => cluster.redis('CONFIG', 'SET', ...settings)
  /** How it is set up is read at once after a reconnect. */
  const reconnect = () => cluster.redis('CLIENT', 'KILL', 'TYPE', 'normal')

  test('a Redis that evicts is named with its policy within some minutes, and the gateways stay ready', async () => {
    await configure('maxmemory-policy', 'allkeys-lru')
    await says(cluster, 'Degraded', 'True', 'RedisEvicts', /^im-0: .*maxmemory-policy allkeys-lru.*; set noeviction/)
    await cluster.waitForCondition('Ready', 'True', TOLD_MS)
    await configure('maxmemory-policy', 'noeviction')
    await reconnect()
    await mended()
  })

  test('a full Redis is told as full, and with what to do', async () => {
    await configure('maxmemory', '1')
    await says(cluster, 'Degraded', 'True', 'RedisFull', /Redis is full: raise its maxmemory/)
    await configure('maxmemory', '0')
    await mended()
  })

  test('a Redis that was made a replica is told as one that refuses writes', async () => {
    await cluster.redis('REPLICAOF', 'localhost', '1')
    await says(cluster, 'Degraded', 'True', 'RedisRefusesWrites', /it is a replica.*; connect to the primary/)
    await cluster.redis('REPLICAOF', 'NO', 'ONE')
    await mended()
  })

  test('a Redis that keeps nothing makes the cluster not Durable, and not Degraded', async () => {
    await says(cluster, 'Durable', 'True', 'RedisPersistent', /append-only file/)
    await configure('appendonly', 'no')
    await reconnect()
    await says(cluster, 'Durable', 'False', 'RedisKeepsNothing', /neither an append-only file nor a replica/)
    await mended()
    const text = await cluster.kubectl.run(['describe', 'imcluster', cluster.name])
    if (!/RedisKeepsNothing/.test(text)) throw new Error(text)
    await configure('appendonly', 'yes')
    await reconnect()
    await says(cluster, 'Durable', 'True', 'RedisPersistent', /append-only file/)
  })

  describe('a NATS user without a right', () => {
    let early: TestCluster
    let late: TestCluster
    const spec = {
      replicas: 1,
      nats: { servers: ['nats://limited:4222'], credentialsSecretRef: { name: 'nats' } },
    }
    const lacking =
      /NATS does not let this user subscribe to broker\.\w+-0; it must publish to broker\.\* and subscribe/
    /** Gives the user these rights: NATS is started anew with them. */
    const give = async (permissions: object) => {
      await cluster.kubectl.apply(rights(permissions))
      await cluster.kubectl.run(['rollout', 'restart', 'deployment/limited'])
      const args = ['rollout', 'status', 'deployment/limited', '--timeout=120s']
      await cluster.kubectl.run(args, { timeoutMs: 130_000 })
    }

    before(async () => {
      early = cluster.withName('early')
      late = cluster.withName('late')
      await cluster.kubectl.apply({
        apiVersion: 'v1',
        kind: 'List',
        items: [
          rights(all),
          {
            apiVersion: 'v1',
            kind: 'Secret',
            metadata: { name: 'nats' },
            stringData: { user: 'im', password: PASSWORD },
          },
          ...buildNats('limited', 'nats'),
        ],
      })
      await early.apply(spec)
      await early.waitUntilSettled(1, TOLD_MS)
    })

    test('is named with subject and right, by a gateway that had it and by one that starts', async () => {
      await give({ ...all, subscribe: 'broker.nobody' })
      await late.apply(spec)
      await says(early, 'Degraded', 'True', 'NatsForbidden', lacking)
      await says(late, 'Degraded', 'True', 'CrashLoop', lacking)
      await give(all)
      await mended(early)
      await mended(late)
    })
  })
})
