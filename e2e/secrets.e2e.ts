import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connect, type Client } from '../client/index.ts'
import { signToken, TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { startStopwatch } from './support/stopwatch.ts'

/** The kubelet looks at mounted Secrets about once a minute, and may use what it has cached for another. */
const KUBELET_MS = 240_000
const first = 'the first key of tokens, 32 bytes or more'
const second = 'the second key of tokens, 32 bytes or more'

describe('Secrets that change while clients are connected', () => {
  const stack = new AsyncDisposableStack()
  let cluster: TestCluster
  let podsBefore: readonly string[]
  const clients: Client[] = []
  const received: string[] = []
  let disconnects = 0

  before(async () => {
    cluster = stack.use(await TestCluster.prepare())
    await setPassword('>first-word')
    await writeSecret('team-auth', { secret: first })
    await writeSecret('team-redis', { url: 'redis://im:first-word@redis:6379' })
    await cluster.apply({
      redis: { urlSecretRef: { name: 'team-redis', key: 'url' } },
      auth: { mode: 'secret', secretRef: { name: 'team-auth', key: 'secret' } },
    })
    await cluster.waitUntilSettled(2)
    podsBefore = await describePods()
    for (const user of ['im-0', 'im-1']) {
      const client = await open(user, user, first)
      clients.push(client)
      client.on('message', (message) => void received.push(message.text()))
      client.on('disconnected', () => (disconnects += 1))
    }
    await exchange('at the start')
  })
  after(async () => {
    await stack.disposeAsync()
  })

  test('a new token key is used without a restart, beside the former one', async (t) => {
    const lap = startStopwatch(t)
    await writeSecret('team-auth', { secret: second, former: first })
    await waitUntilTaken(1)
    lap('from the Secret to every gateway')
    for (const key of [first, second]) {
      await using newcomer = await open('im-0', 'newcomer', key)
      assert.ok(newcomer.connected)
    }
    await exchange('with a new token key')
  })

  test('a key that cannot be used is told, and not used; the conditions say until when', async (t) => {
    const lap = startStopwatch(t)
    await writeSecret('team-auth', { secret: 'too short' })
    await hurryKubelets()
    const wordsOf = async (type: string, reason: string) => {
      const { status } = await cluster.waitForCondition(type, 'True', KUBELET_MS, reason)
      lap(`until ${reason}`)
      return status?.conditions.find((condition) => condition.type === type)?.message ?? ''
    }
    const words = await Promise.all([wordsOf('Progressing', 'SecretsChanging'), wordsOf('Degraded', 'SecretUnusable')])
    assert.match(words[0], /im-\d.*team-auth/)
    assert.match(words[1], /at least 32 bytes/)
    await using newcomer = await open('im-1', 'newcomer', second)
    assert.ok(newcomer.connected)
    await writeSecret('team-auth', { secret: second })
    await hurryKubelets()
    await cluster.waitForCondition('Degraded', 'False', KUBELET_MS)
    await cluster.waitForCondition('Progressing', 'False', KUBELET_MS, 'Complete')
  })

  test('a new password of Redis is used without a restart', async () => {
    await setPassword('>second-word')
    await writeSecret('team-redis', { url: 'redis://im:second-word@redis:6379' })
    await hurryKubelets()
    await waitUntilTaken(3)
    await setPassword('<first-word')
    await cluster.redis('CLIENT', 'KILL', 'USER', 'im')
    await exchange('with a new password of Redis')
    await cluster.waitForCondition('Degraded', 'False', 60_000)
  })

  test('through all this no pod and no connection was replaced', async () => {
    assert.deepEqual(await describePods(), podsBefore)
    assert.equal(disconnects, 0)
  })

  function setPassword(rule: string): Promise<string> {
    return cluster.redis('ACL', 'SETUSER', 'im', 'on', '~*', '+@all', rule)
  }

  /** Replaces what a Secret holds. As stringData, keys that are left out would stay. */
  async function writeSecret(name: string, values: Readonly<Record<string, string>>): Promise<void> {
    const entries = Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')])
    const data: unknown = Object.fromEntries(entries)
    await cluster.kubectl.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name }, data })
  }

  /** Waits until every gateway has taken so many changes. */
  async function waitUntilTaken(count: number): Promise<void> {
    await waitFor(`${count} changes to be taken`, KUBELET_MS, async () => {
      const logs = await Promise.all(['im-0', 'im-1'].map((pod) => cluster.kubectl.run(['logs', pod])))
      return logs.every((log) => log.split('a secret was read again').length - 1 >= count)
    })
  }

  /** A kubelet looks at what a pod mounts whenever the pod changes. */
  async function hurryKubelets(): Promise<void> {
    const selector = 'app.kubernetes.io/name=im-gateway'
    await cluster.kubectl.run(['annotate', 'pods', '--overwrite', '--selector', selector, `looked-at=${Date.now()}`])
  }

  /** Connects to one of the pods. */
  async function open(pod: string, user: string, key: string): Promise<Client> {
    const { port } = stack.use(await cluster.kubectl.forward(`pod/${pod}`, 9000))
    const urls = `tcp://127.0.0.1:${port}`
    const client = connect({ urls, token: await signToken(user, key), device: { clientType: 'web', imei: user } })
    stack.use(client)
    await client.ready()
    return client
  }

  async function exchange(text: string): Promise<void> {
    await clients[0]?.send('im-1', `${text}: to im-1`)
    await clients[1]?.send('im-0', `${text}: to im-0`)
    const wanted = [`${text}: to im-0`, `${text}: to im-1`]
    await waitFor('both messages', 60_000, () => Promise.resolve(wanted.every((message) => received.includes(message))))
  }

  async function describePods(): Promise<string[]> {
    return (await cluster.pods()).map(({ metadata, status }) => {
      const restarts = status.containerStatuses?.map(({ restartCount }) => restartCount)
      return `${metadata.name} ${metadata.uid} ${String(restarts)}`
    })
  }
})
