import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { buildLogin, connectTcp } from '../test/kit/raw-client.ts'
import { run } from '../test/kit/kubernetes/command.ts'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { isReady, waitFor, type KubeObject } from '../test/kit/kubernetes/kubernetes.ts'
import { startStopwatch } from './support/stopwatch.ts'
import { Traffic } from '../test/kit/kubernetes/traffic.ts'

const BROKERS = ['im-0', 'im-1', 'im-2']
const PAIRS = 6
/** Longer than Kubernetes and gateways need to find somebody unready. */
const OUTAGE_MS = 25_000
const REDIS = 6379
const NATS = 4222
const ADMIN = 9090
const DNS = 53

interface EndpointSlice extends KubeObject {
  readonly endpoints: readonly {
    readonly conditions: { readonly ready?: boolean }
    readonly targetRef: { readonly name: string }
  }[]
}

describe('gateways without Redis or NATS', () => {
  let cluster: TestCluster
  let at: { tcp: string; websocket: string }

  before(async () => {
    cluster = await TestCluster.prepare()
    const drain = { rate: 200, deadlineSeconds: 20, jitterSeconds: 0 }
    await cluster.apply({ replicas: BROKERS.length, service: { type: 'NodePort' }, drain })
    await cluster.waitUntilSettled(BROKERS.length)
    at = await findUrls()
    for (const name of BROKERS) {
      await waitFor(`${name} knows the others`, 60_000, async () => {
        const { peers } = JSON.parse(await readAdmin(name, 'links')) as { peers: number }
        return peers === BROKERS.length - 1
      })
    }
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  /** The Service's node ports, on the address of a node: no port of this machine is taken. */
  async function findUrls() {
    const [node = ''] = (
      await cluster.kubectl.run(['get', 'nodes', '-o', 'jsonpath={.items[*].status.addresses[0].address}'])
    ).split(' ')
    const ports = await cluster.kubectl.run([
      'get',
      'service',
      cluster.name,
      '-o',
      'jsonpath={range .spec.ports[*]}{.name}={.nodePort} {end}',
    ])
    const portOf = (name: string) => new RegExp(`${name}=(\\d+)`).exec(ports)?.[1] ?? assert.fail(ports)
    return { tcp: `tcp://${node}:${portOf('tcp')}`, websocket: `ws://${node}:${portOf('websocket')}` }
  }

  function readAdmin(pod: string, path: string): Promise<string> {
    const { namespace } = cluster.kubectl
    return cluster.kubectl.run(['get', '--raw', `/api/v1/namespaces/${namespace}/pods/${pod}:${ADMIN}/proxy/${path}`])
  }

  /** The gateways that the Service sends clients to. */
  async function endpoints(): Promise<string[]> {
    const slices = await cluster.kubectl.list<EndpointSlice>(
      'endpointslices',
      `kubernetes.io/service-name=${cluster.name}`,
    )
    return slices
      .flatMap((slice) => slice.endpoints)
      .filter(({ conditions }) => conditions.ready !== false)
      .map(({ targetRef }) => targetRef.name)
      .toSorted()
  }

  /** A gateway that holds clients. */
  async function findBusy(): Promise<string | undefined> {
    for (const name of BROKERS) if ((await cluster.sessionsOf(name)).length > 0) return name
    return undefined
  }

  async function waitForEndpoints(wanted: readonly string[]): Promise<void> {
    await waitFor(`the endpoints ${wanted.join()}`, 120_000, async () => (await endpoints()).join() === wanted.join())
  }

  test('all without Redis stay ready and in the Service, no connection ends, and who comes is told to try again', async (t) => {
    const lap = startStopwatch(t)
    await using traffic = await Traffic.start(cluster, PAIRS, at)
    await traffic.flowsForAll()
    const scale = (replicas: number) => cluster.kubectl.run(['scale', 'deployment/redis', `--replicas=${replicas}`])
    await scale(0)
    for (const name of BROKERS) {
      await waitFor(`${name} says that all lack it`, 60_000, async () =>
        (await readAdmin(name, 'readyz')).includes('the other gateways lack it, too'),
      )
    }
    lap('all have said so')
    const end = performance.now() + OUTAGE_MS
    while (performance.now() < end) {
      assert.deepEqual(await endpoints(), BROKERS)
      assert.ok((await cluster.pods()).every(isReady))
      await delay(500)
    }
    const newcomer = await connectTcp(at.tcp)
    newcomer.send(buildLogin({ token: await cluster.token('newcomer') }))
    const { code } = await newcomer.next('close')
    assert.equal(code, 4001, 'try again')
    await newcomer.ended
    await cluster.waitForCondition('Degraded', 'True', 30_000, 'RedisUnavailable')
    assert.deepEqual(traffic.interruptions, [])
    await scale(1)
    await traffic.flowsForAll(5, 120_000)
    lap('messages flow again')
    assert.deepEqual(traffic.interruptions, [])
    await traffic.finish()
    await cluster.waitForCondition('Degraded', 'False', 60_000)
  })

  for (const [what, ports] of [
    ['Redis', [REDIS]],
    ['NATS', [NATS]],
    ['everything', [REDIS, NATS, ADMIN, DNS]],
  ] as const) {
    test(`one that is cut off from ${what} leaves the Service, its clients go to the others, and it comes back`, async (t) => {
      const lap = startStopwatch(t)
      await using traffic = await Traffic.start(cluster, PAIRS, at)
      await traffic.flowsForAll()
      // The Service may send no client at all to one of them.
      const alone = await waitFor('one that has clients', 60_000, () => findBusy())
      const others = BROKERS.filter((name) => name !== alone)
      const pods = await cluster.pods()
      const pod = pods.find(({ metadata }) => metadata.name === alone) ?? assert.fail(alone)
      const rule = (action: '-I' | '-D', protocol: string, port: number) => {
        const packet = ['-s', pod.status.podIP ?? '', '-p', protocol, '--dport', String(port)]
        const change = ['iptables', '--wait', '10', action, 'FORWARD', ...packet, '-j', 'DROP']
        return run('docker', ['exec', pod.spec.nodeName ?? '', ...change])
      }
      const rules = ports.flatMap((port) =>
        (port === DNS ? (['tcp', 'udp'] as const) : (['tcp'] as const)).map((protocol) => [protocol, port] as const),
      )
      for (const [protocol, port] of rules) await rule('-I', protocol, port)
      try {
        await waitForEndpoints(others)
        lap('it is not in the Service')
        await waitFor('its clients to go', 120_000, async () => (await cluster.sessionsOf(alone)).length === 0)
        lap('its clients have gone')
        await traffic.flowsForAll()
        assert.deepEqual(traffic.interruptions, [])
        assert.ok(!(await endpoints()).includes(alone))
      } finally {
        for (const [protocol, port] of rules) await rule('-D', protocol, port)
      }
      await waitForEndpoints(BROKERS)
      lap('it is back in the Service')
      await traffic.flowsForAll()
      assert.deepEqual(traffic.interruptions, [])
      await traffic.finish()
      await cluster.waitForCondition('Degraded', 'False', 60_000)
      const restarts = (await cluster.pods()).map(({ status }) => status.containerStatuses?.[0]?.restartCount)
      assert.deepEqual(restarts, [0, 0, 0])
    })
  }
})
