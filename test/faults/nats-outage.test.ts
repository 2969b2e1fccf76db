import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Sent } from '../../client/index.ts'
import { assertDelivered, assertSenderOrder, Device, startTraffic } from '../kit/device.ts'
import { RawClient } from '../kit/raw-login.ts'
import { readiness, TestCluster } from '../kit/test-cluster.ts'
import { PATIENCE_MS, until } from '../kit/wait.ts'

/** How long what was accepted meanwhile may take after NATS is back. */
const BACK_MS = 20_000
/** With so many users at each gateway the slow round of verification takes 20 s: what arrives does so because NATS is back. */
const BYSTANDERS = 40
const env = { IM_VERIFY_ROUND_MS: '600000' }

/** Bob at gw-0 sends to alice at gw-1, and dave at gw-1 to erin at gw-0: every message has to cross. */
async function connectPeople(cluster: TestCluster) {
  const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
  const stack = new AsyncDisposableStack()
  const bob = stack.use(await Device.open([first], { user: 'bob', transport: 'tcp' }))
  const alice = stack.use(await Device.open([second], { user: 'alice', transport: 'tcp' }))
  const dave = stack.use(await Device.open([second], { user: 'dave' }))
  const erin = stack.use(await Device.open([first], { user: 'erin' }))
  const carol = stack.use(await RawClient.login(first, { user: 'carol' }))
  for (const gateway of [first, second]) {
    const names = Array.from({ length: BYSTANDERS }, (_, index) => `${gateway.brokerId}-${index}`)
    for (const bystander of await Promise.all(names.map((user) => RawClient.login(gateway, { user })))) {
      stack.use(bystander)
    }
  }
  const pairs = [
    { from: bob, to: alice },
    { from: dave, to: erin },
  ] as const
  return { pairs, carol, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}
type People = Awaited<ReturnType<typeof connectPeople>>

async function awaitReadiness({ gateways }: TestCluster, status: number, body: RegExp): Promise<void> {
  for (const gateway of gateways) {
    await until(`${gateway.brokerId} says ${status} ${String(body)}`, async () => {
      const answer = await readiness(gateway)
      return answer.status === status && body.test(answer.body)
    })
  }
}

/** Sends both ways until NATS is noticed to be away, and a little longer. Returns what was accepted of each pair. */
async function sendDuringOutage(
  cluster: TestCluster,
  { pairs }: People,
  begin: () => Promise<void>,
): Promise<Sent[][]> {
  const traffic = pairs.map(({ from, to }) => startTraffic(from, to.user, 10))
  await until('traffic flows', () => pairs.every(({ to }) => to.received.length > 10))
  await begin()
  await awaitReadiness(cluster, 200, /^ok\nNATS does not answer; (the|no) other gateway/)
  const noticed = traffic.map(({ accepted }) => accepted.length)
  await until('more is accepted', () => traffic.every(({ accepted }, at) => accepted.length > (noticed[at] ?? 0)))
  return Promise.all(traffic.map((each) => each.stop()))
}

/** After NATS is back: everything arrives in time, and nobody has lost a connection over it. */
async function assertRecovered(cluster: TestCluster, { pairs, carol }: People, accepted: Sent[][]): Promise<void> {
  await Promise.all(pairs.map(({ to }, at) => to.has(accepted[at] ?? [], BACK_MS)))
  await awaitReadiness(cluster, 200, /^ok$/)
  for (const [at, { from, to }] of pairs.entries()) {
    const last = await from.client.send(to.user, 'last')
    await to.has([last])
    assertDelivered(to, [...(accepted[at] ?? []), last])
    assert.equal(to.texts.at(-1), 'last')
    assertSenderOrder(to.texts.slice(0, -1))
    assert.deepEqual(to.gaps, [])
    for (const { name, connections, disconnections } of [from, to]) {
      assert.equal(connections.length, 1, `${name} stayed on one connection`)
      assert.deepEqual(disconnections, [])
    }
  }
  assert.equal(carol.ending, 'open')
}

describe('NATS is away', () => {
  it('for a restart: what is accepted meanwhile arrives within 5 s of its return', async (t) => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    await using people = await connectPeople(cluster)
    const accepted = await sendDuringOutage(cluster, people, () => cluster.nats.stop('SIGKILL'))
    await cluster.nats.start()
    const backAt = performance.now()
    await assertRecovered(cluster, people, accepted)
    t.diagnostic(`everything had arrived ${Math.round(performance.now() - backAt)} ms after the return`)
  })

  it('frozen: what is accepted meanwhile arrives within 5 s of its return', async (t) => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    await using people = await connectPeople(cluster)
    const accepted = await sendDuringOutage(cluster, people, async () => {
      process.kill(cluster.nats.pid, 'SIGSTOP')
      // Until the gateways have given the connection up: what was written into it is lost.
      for (const gateway of cluster.gateways) await gateway.waitForLog(({ msg }) => msg === 'NATS is away', PATIENCE_MS)
    })
    process.kill(cluster.nats.pid, 'SIGCONT')
    const backAt = performance.now()
    await assertRecovered(cluster, people, accepted)
    t.diagnostic(`everything had arrived ${Math.round(performance.now() - backAt)} ms after the return`)
  })

  it('for long: what is accepted arrives late, and does not wait for its return', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    await using people = await connectPeople(cluster)
    const accepted = await sendDuringOutage(cluster, people, () => cluster.nats.stop('SIGKILL'))
    for (const [at, { to }] of people.pairs.entries()) await to.has(accepted[at] ?? [])
    await cluster.nats.start()
    await assertRecovered(cluster, people, accepted)
  })

  it('frozen for a moment: nothing is lost and nobody notices', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    await using people = await connectPeople(cluster)
    process.kill(cluster.nats.pid, 'SIGSTOP')
    const accepted: Sent[][] = []
    for (const { from, to } of people.pairs) {
      accepted.push(await Promise.all([1, 2, 3].map((number) => from.client.send(to.user, `moment ${number}`))))
    }
    process.kill(cluster.nats.pid, 'SIGCONT')
    await assertRecovered(cluster, people, accepted)
  })
})
