import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { TestCluster, type ImClusterObject } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { openClient, reachable, Traffic } from '../test/kit/kubernetes/traffic.ts'

describe('ImClusters on the same Redis and NATS', () => {
  let first: TestCluster
  /** In another namespace. It has servers of its own, and uses the first one's where a test says so. */
  let second: TestCluster
  let traffic: Traffic
  before(async () => {
    ;[first, second] = await Promise.all([TestCluster.prepare(), TestCluster.prepare()])
    await first.apply({ ...reachable, replicas: 2 })
    await first.waitUntilSettled(2)
    traffic = await Traffic.start(first)
  })
  after(async () => {
    await traffic[Symbol.asyncDispose]()
    await Promise.all([first[Symbol.asyncDispose](), second[Symbol.asyncDispose]()])
  })

  const urlOf = (server: 'redis' | 'nats') =>
    `${server}://${server}.${first.kubectl.namespace}.svc:${{ redis: 6379, nats: 4222 }[server]}`
  const sharedRedis = (keyPrefix?: string) => ({ redis: { url: urlOf('redis'), ...(keyPrefix && { keyPrefix }) } })
  const sharedNats = (subjectPrefix?: string) => ({
    nats: { servers: [urlOf('nats')], ...(subjectPrefix && { subjectPrefix }) },
  })

  /** What of the first cluster nothing that another does may change. */
  async function look(): Promise<unknown> {
    const [pods, register, zero, one, { status }] = await Promise.all([
      first.pods(),
      first.redis('HKEYS', 'im:brokers'),
      first.sessionsOf('im-0'),
      first.sessionsOf('im-1'),
      first.read(),
    ])
    const uids = pods.map(({ metadata, status: { containerStatuses } }) => [
      metadata.uid,
      containerStatuses?.[0]?.restartCount,
    ])
    const ours = register.split('\n').filter((field) => /^im-\d/.test(field))
    return { uids, ours: ours.toSorted(), zero, one, cleanups: status?.cleanups }
  }

  async function waitUntilRefused(): Promise<ImClusterObject> {
    const cluster = await second.waitForCondition('Degraded', 'True', 60_000, 'PrefixConflict')
    const message = cluster.status?.conditions.find(({ type }) => type === 'Degraded')?.message ?? ''
    assert.match(message, new RegExp(`${first.kubectl.namespace}/im is on the same`))
    assert.match(message, /set spec\.redis\.keyPrefix, like .* and spec\.nats\.subjectPrefix/)
    assert.equal(await second.kubectl.get('statefulset', 'im'), undefined, 'nothing was made for it')
    return cluster
  }

  /** Opens a user's client at a cluster that has no node ports. */
  async function openAt(cluster: TestCluster, userId: string) {
    const forward = await cluster.kubectl.forward(`service/${cluster.name}`, 8080)
    const client = await openClient(cluster, userId, `ws://127.0.0.1:${forward.port}`)
    const close = async () => {
      await client.close()
      await forward[Symbol.asyncDispose]()
    }
    return { client, [Symbol.asyncDispose]: close }
  }

  test('of two names in one namespace, the one is scaled, killed and deleted without the other noticing', async () => {
    const other = first.withName('im-b')
    await other.apply({ replicas: 2 })
    await other.waitUntilSettled(2)
    const before = await look()
    {
      await using reached = await openAt(other, 'recipient-0')
      const received = new Promise<string>((resolve) => {
        reached.client.on('message', (message) => resolve(message.text()))
      })
      assert.match(await received, /^message /, 'both serve the same users')
    }
    await other.kubectl.run(['scale', 'imcluster', other.name, '--replicas=1'])
    await other.waitUntilSettled(1)
    const [pod] = await other.pods()
    await other.kubectl.run(['delete', 'pod', pod?.metadata.name ?? '', '--force', '--grace-period=0'])
    await waitFor('its cleanup', 60_000, async () =>
      (await other.read()).status?.cleanups.some(({ podUid }) => podUid === pod?.metadata.uid),
    )
    await other.waitUntilSettled(1)
    await other.kubectl.run(['delete', 'imcluster', other.name, '--timeout=120s'], { timeoutMs: 130_000 })
    assert.deepEqual(await look(), before)
    await traffic.flows()
  })

  test('of one name in two namespaces, the second is refused and can be deleted; the first does not notice', async () => {
    const before = await look()
    await second.apply({ ...sharedRedis(), ...sharedNats() })
    const { status } = await waitUntilRefused()
    assert.equal(status?.conditions.find(({ type }) => type === 'Ready')?.reason, 'PrefixConflict')
    await second.kubectl.run(['delete', 'imcluster', 'im', '--timeout=30s'])

    await second.apply({ ...sharedNats() })
    await waitUntilRefused()
    await second.kubectl.run(['delete', 'imcluster', 'im', '--timeout=30s'])

    assert.deepEqual(await look(), before)
    await traffic.flows()
  })

  test('with the prefixes that the condition names, the refused one goes on, apart from the first', async () => {
    const before = await look()
    await second.apply({ ...sharedRedis(), ...sharedNats() })
    await waitUntilRefused()
    await second.apply({ ...sharedRedis('second:'), ...sharedNats('second.') })
    await second.waitUntilSettled(2)
    await second.waitForCondition('Degraded', 'False', 60_000)
    await assert.rejects(
      second.apply({ ...sharedRedis('third:'), ...sharedNats('second.') }),
      /keyPrefix cannot change/,
    )

    {
      // The same user as one of the first cluster: nothing that is sent there may come here.
      await using recipient = await openAt(second, 'recipient-0')
      await using sender = await openAt(second, 'sender-0')
      const received: string[] = []
      recipient.client.on('message', (message) => void received.push(message.text()))
      await traffic.flows()
      await sender.client.send('recipient-0', 'of the second')
      await waitFor('the message', 30_000, () => Promise.resolve(received.includes('of the second')))
      assert.deepEqual(received, ['of the second'])
    }

    await second.kubectl.run(['delete', 'pod', 'im-0', '--force', '--grace-period=0'])
    await second.waitUntilSettled(2)
    await second.kubectl.run(['scale', 'imcluster', 'im', '--replicas=1'])
    await second.waitUntilSettled(1)
    await second.kubectl.run(['delete', 'imcluster', 'im', '--timeout=120s'], { timeoutMs: 130_000 })
    const left = (await first.redis('KEYS', 'second:*'))
      .split('\n')
      .filter((key) => /brokers|clusters|sessions$/.test(key))
    assert.deepEqual(left, [], 'its sessions, register and claim are gone')
    assert.deepEqual(await look(), before)
  })

  test('a name is free again when its ImCluster is deleted, and nothing of the first was lost', async () => {
    const { messages } = await traffic.finish()
    assert.ok(messages > 0)
    await traffic[Symbol.asyncDispose]()
    await second.apply({ ...sharedRedis(), ...sharedNats(), replicas: 1 })
    await waitUntilRefused()
    await first.kubectl.run(['delete', 'imcluster', 'im', '--timeout=120s'], { timeoutMs: 130_000 })
    await second.waitUntilSettled(1)
    await second.waitForCondition('Degraded', 'False', 60_000)
  })
})
