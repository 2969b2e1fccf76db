import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connectTcp, textOf, type RawClient } from '../test/kit/raw-client.ts'
import { run } from '../test/kit/kubernetes/command.ts'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor, type PodObject } from '../test/kit/kubernetes/kubernetes.ts'
import { readLeader } from '../test/kit/kubernetes/operator.ts'
import { readLeaseHolder, waitForNoDeadSession } from './support/sessions.ts'
import { startStopwatch } from './support/stopwatch.ts'
import { openClient, reachable, Traffic, urls } from '../test/kit/kubernetes/traffic.ts'

const BROKERS = ['im-0', 'im-1', 'im-2']
const PAIRS = 6
const WITNESSES = 3
/** Until Kubernetes calls a node that is silent NotReady; pods are evicted from it five minutes later. */
const NOT_READY_MS = 90_000
const CLEAN_WITHIN_MS = 10_000

describe('a node that stands still, and comes back', () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await TestCluster.prepare()
    // Clients that notice within seconds, and connections that the gateway keeps for as long as its node stands still.
    const connections = { heartbeatSeconds: 5, idleTimeoutSeconds: 300 }
    await cluster.apply({ ...reachable, replicas: BROKERS.length, connections })
    await cluster.waitUntilSettled(BROKERS.length)
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  test('is no proof of death: no session is removed, clients go on elsewhere, and its gateway comes back', async (t) => {
    const { pod, node } = await chooseGateway()
    const { name, uid } = pod.metadata
    await using traffic = await Traffic.start(cluster, PAIRS)
    await using witnesses = await openWitnesses(name)
    const sessions = await sessionsOfWitnesses(name)
    assert.equal(sessions.length, WITNESSES)
    const bootId = await readLeaseHolder(cluster, name)
    const lap = startStopwatch(t)
    await withFrozen(node, async () => {
      await waitFor('the end of its lease', 60_000, async () => (await readLeaseHolder(cluster, name)) === undefined)
      lap('the lease ran out')
      const { status } = await cluster.waitForCondition('Degraded', 'True', 60_000, 'GatewayLost')
      lap('the condition says GatewayLost')
      assert.match(status?.conditions.find(({ type }) => type === 'Degraded')?.message ?? '', new RegExp(name))
      await traffic.flowsForAll(5, 180_000)
      lap('all clients go on, at other gateways')
      await waitForNode(node, 'NotReady', NOT_READY_MS)
      lap('Kubernetes calls the node NotReady')
      await traffic.flowsForAll()
      assert.deepEqual(await sessionsOfWitnesses(name), sessions, 'of those who did not move, nothing is removed')
      const { brokers = [] } = (await cluster.read()).status ?? {}
      assert.ok(brokers.some(({ podUid, state }) => podUid === uid && state === 'lost'))
    })
    await waitForNode(node, 'Ready', 60_000)
    await cluster.waitUntilSettled(BROKERS.length)
    await cluster.waitForCondition('Degraded', 'False', 60_000)
    lap('unpaused, all is settled')
    assert.equal(await readLeaseHolder(cluster, name), bootId, 'the very process goes on')
    await using messenger = await openClient(cluster, 'messenger', urls.websocket)
    for (const [at, witness] of witnesses.clients.entries()) {
      await messenger.send(witness.userId, `to witness ${at}`)
      assert.equal(textOf(await witness.client.next('message')), `to witness ${at}`)
    }
    await finish(traffic)
    assert.equal(
      (await cluster.read()).status?.cleanups.find(({ podUid }) => podUid === uid),
      undefined,
    )
    assert.deepEqual(await sessionsOfWitnesses(name), sessions)
    lap('messages arrive at who did not move, and at all others')
  })

  test('with its gateway given up meanwhile: that cleans up, and what comes back sees that it was replaced', async (t) => {
    const { pod, node } = await chooseGateway()
    const { name, uid } = pod.metadata
    await using traffic = await Traffic.start(cluster, PAIRS)
    await using witnesses = await openWitnesses(name)
    const lap = startStopwatch(t)
    await run('kubectl', ['cordon', node])
    try {
      await withFrozen(node, async () => {
        await waitFor('the end of its lease', 60_000, async () => (await readLeaseHolder(cluster, name)) === undefined)
        await cluster.kubectl.run(['delete', 'pod', name, '--force', '--grace-period=0'])
        lap('the lease ran out, and the pod was deleted by force')
        const record = await waitFor('the record of its cleanup', CLEAN_WITHIN_MS, async () =>
          (await cluster.read()).status?.cleanups.find(({ podUid }) => podUid === uid),
        )
        assert.match(record.proof.pod, /^Pod(Gone|Replaced)$/)
        assert.equal(record.orphansLeft, 0)
        assert.deepEqual(await sessionsOfWitnesses(name), [])
        lap('its sessions are removed')
        await cluster.waitUntilSettled(BROKERS.length)
        lap('its successor is ready, on another node')
        await traffic.flowsForAll(5, 180_000)
        lap('all clients go on')
      })
      const endings = await Promise.all(witnesses.clients.map(({ client }) => client.waitForEnd()))
      lap(`unpaused, it closes what it held: ${[...new Set(endings.map(({ name: code }) => code))].join()}`)
    } finally {
      await run('kubectl', ['uncordon', node])
    }
    await waitForNode(node, 'Ready', 60_000)
    await cluster.waitUntilSettled(BROKERS.length)
    await finish(traffic)
    lap('settled, and nothing lost')
  })

  /** A gateway on a node that can stand still: the operator's leader is on another. */
  async function chooseGateway(): Promise<{ pod: PodObject; node: string }> {
    const leader = await readLeader()
    const pods = await cluster.pods()
    const pod = pods.find(({ spec }) => spec.nodeName !== leader.spec.nodeName)
    assert.ok(pod, 'a gateway on another node than the leader')
    assert.ok(
      pods.some(({ spec }) => spec.nodeName !== pod.spec.nodeName),
      'and a gateway that goes on',
    )
    return { pod, node: pod.spec.nodeName ?? '' }
  }

  /** Devices at one gateway that do nothing when they hear nothing, as long as they like. */
  async function openWitnesses(brokerId: string) {
    const stack = new AsyncDisposableStack()
    const clients: { client: RawClient; userId: string }[] = []
    for (let at = 0; clients.length < WITNESSES; at += 1) {
      assert.ok(at < 100, `the Service leads to ${brokerId}`)
      const userId = `witness-${at}`
      const client = await connectTcp(urls.tcp)
      const loggedIn = await client.login({ token: await cluster.token(userId) })
      if (loggedIn.brokerId === brokerId) clients.push({ client: stack.use(client), userId })
      else await client[Symbol.asyncDispose]()
    }
    return { clients, [Symbol.asyncDispose]: () => stack.disposeAsync() }
  }

  async function sessionsOfWitnesses(brokerId: string): Promise<string[]> {
    return (await cluster.sessionsOf(brokerId)).filter((place) => place.includes(':witness-'))
  }

  /** Nothing is lost; who is connected is known to be; and nobody else is. */
  async function finish(traffic: Traffic): Promise<void> {
    await traffic.flowsForAll()
    await using observer = await openClient(cluster, 'observer', urls.tcp)
    const users = Array.from({ length: PAIRS }, (_, at) => [`sender-${at}`, `recipient-${at}`]).flat()
    const absent = [...(await observer.presence(users))].filter(([, devices]) => devices.length === 0)
    assert.deepEqual(absent, [])
    await traffic.finish()
    await waitForNoDeadSession(cluster, BROKERS, CLEAN_WITHIN_MS)
  }
})

/** Stops every process of a node for as long as the work takes; its kernel goes on to take packets and connections. */
async function withFrozen(node: string, work: () => Promise<void>): Promise<void> {
  await run('docker', ['pause', node])
  try {
    await work()
  } finally {
    await run('docker', ['unpause', node])
  }
}

async function waitForNode(node: string, state: 'Ready' | 'NotReady', timeoutMs: number): Promise<void> {
  await waitFor(`node ${node} to be ${state}`, timeoutMs, async () =>
    new RegExp(`\\s${state}\\b`).test(await run('kubectl', ['get', 'node', node, '--no-headers'])),
  )
}
