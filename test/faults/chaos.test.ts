import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { assertDelivered, Device, startTraffic } from '../kit/device.ts'
import { Proxy } from '../kit/proxy.ts'
import { Random } from '../kit/random.ts'
import { bootIdOf, exitOf, TestCluster } from '../kit/test-cluster.ts'
import { PATIENCE_MS, until } from '../kit/wait.ts'

const CHAOS_MS = 15_000
const env = { IM_LEASE_MS: '1000', IM_VERIFY_ROUND_MS: '3000', IM_HEARTBEAT_MS: '500', IM_DRAIN_DEADLINE_MS: '3000' }
const names = ['gw-0', 'gw-1', 'gw-2'] as const

interface Scene {
  readonly cluster: TestCluster
  readonly proxies: readonly Proxy[]
  readonly random: Random
}

/** What may go wrong. Each leaves everything running again when it resolves. */
const faults: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  async 'kill -9 of a gateway'({ cluster, random }) {
    const dying = cluster.gateway(random.pick(names))
    dying.kill('SIGKILL')
    await exitOf(dying)
    await cluster.startGateway(dying.brokerId)
  },
  async 'a gateway drains and comes back'({ cluster, random }) {
    const leaving = cluster.gateway(random.pick(names))
    leaving.kill('SIGTERM')
    assert.deepEqual(await exitOf(leaving), { code: 0, signal: null })
    await cluster.startGateway(leaving.brokerId)
  },
  async 'a gateway stands still'({ cluster, random }) {
    const frozen = cluster.gateway(random.pick(names))
    frozen.kill('SIGSTOP')
    await delay(random.between(50, 2_000))
    frozen.kill('SIGCONT')
  },
  async 'NATS is restarted'({ cluster, random }) {
    await cluster.nats.stop('SIGKILL')
    await delay(random.between(0, 1_000))
    await cluster.nats.start()
  },
  async 'Redis is restarted'({ cluster, random }) {
    await cluster.redis.stop('SIGKILL')
    await delay(random.between(0, 500))
    await cluster.redis.start()
  },
  async 'connections break'({ proxies, random }) {
    for (const proxy of proxies) proxy.cut(() => random.next() < 0.5)
  },
}

describe('whatever fails', () => {
  it('every accepted message reaches every device, in order, once', async (t) => {
    const seed = Number(process.env['SEED'] ?? randomInt(2 ** 32))
    t.diagnostic(`SEED=${seed}`)
    const random = new Random(seed)
    await using stack = new AsyncDisposableStack()
    const cluster = stack.use(await TestCluster.start({ gateways: names, env }))
    const proxies = await Promise.all(cluster.gateways.map((gateway) => Proxy.start(gateway)))
    for (const proxy of proxies) stack.use(proxy)

    const users = ['alice', 'bob', 'carol']
    const devices: Device[] = []
    for (const user of users) {
      for (const transport of ['tcp', 'ws'] as const) {
        const [first, ...others] = proxies.toSorted(() => random.next() - 0.5)
        assert.ok(first)
        devices.push(
          stack.use(await Device.open([first, ...others], { user, imei: transport, transport, impatient: true })),
        )
      }
    }
    // Each user writes to the next one, from either device.
    const traffic = devices.map((device) => {
      const to = users[(users.indexOf(device.user) + 1) % users.length] ?? ''
      return { to, ...startTraffic(device, to, 25) }
    })

    const happened: string[] = []
    stack.defer(() => t.diagnostic(happened.join(', ')))
    const endAt = performance.now() + CHAOS_MS
    while (performance.now() < endAt) {
      const fault = random.pick(Object.keys(faults))
      happened.push(fault)
      await faults[fault]?.({ cluster, proxies, random })
      await delay(random.between(0, 500))
    }
    for (const gateway of cluster.gateways) await gateway.ready(PATIENCE_MS)

    for (const { name, closed } of devices) assert.equal(closed, undefined, `${name} was closed with ${closed?.code}`)
    const accepted = await Promise.all(traffic.map(async (each) => ({ to: each.to, sent: await each.stop() })))
    for (const device of devices) {
      const inbox = accepted.filter(({ to }) => to === device.user).flatMap(({ sent }) => sent)
      await device.has(inbox)
      assertDelivered(device, inbox)
      assert.deepEqual(device.gaps, [])
    }
    const total = accepted.reduce((sum, { sent }) => sum + sent.length, 0)
    const moves = devices.reduce((sum, { connections }) => sum + connections.length - 1, 0)
    t.diagnostic(`${total} messages, ${moves} reconnects`)

    // And the directory has come to rest: each device online once, over the connection that it has.
    await until('the directory is right', async () => {
      const sessions = (await cluster.store.sessions()).filter(({ connectState }) => connectState === 1)
      assert.deepEqual(
        sessions.map(({ connectionId }) => connectionId).toSorted(),
        devices.map(({ connectionId }) => connectionId).toSorted(),
      )
      return true
    })
    const boots = await Promise.all(cluster.gateways.map((gateway) => bootIdOf(gateway)))
    for (const [at, name] of names.entries()) assert.equal((await cluster.store.lease(name))?.bootId, boots[at])
  })
})
