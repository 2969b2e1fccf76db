import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { assertDelivered, Device, startTraffic } from '../kit/device.ts'
import { startHaProxy } from '../kit/haproxy.ts'
import { LinkedCluster } from '../kit/linked-cluster.ts'
import { RawClient } from '../kit/raw-login.ts'
import { readiness } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

const BROKERS = ['gw-0', 'gw-1', 'gw-2']
const PEOPLE = 9
const env = { IM_LEASE_MS: '3000', IM_DRAIN_JITTER_MS: '200', IM_DRAIN_RATE: '20' }
/** More checks than HAProxy needs to take a server for down, and than a gateway needs to find out that it is alone. */
const OUTAGE_MS = 20_000
/** Checks that fail, one each second, before HAProxy shuts the sessions: what clients have to move. */
const PATIENCE = 15

describe('behind an HAProxy that shuts the sessions of servers that are down', () => {
  for (const servers of [['redis'], ['nats'], ['redis', 'nats']] as const) {
    it(`an outage of ${servers.join(' and ')} ends no connection, and nothing is lost`, async () => {
      await using linked = await LinkedCluster.start(BROKERS, env)
      const { cluster } = linked
      await using stack = new AsyncDisposableStack()
      // Impatient: a single check that fails would show.
      const proxy = stack.use(await startHaProxy(cluster.gateways, 1))
      const devices: Device[] = []
      for (let at = 0; at < PEOPLE; at++) {
        const transport = at % 2 === 0 ? 'tcp' : 'ws'
        devices.push(stack.use(await Device.open([proxy], { user: 'alice', imei: `d${at}`, transport })))
      }
      const bob = stack.use(await Device.open([proxy], { user: 'bob' }))
      const traffic = startTraffic(bob, 'alice', 50)
      for (const brokerId of BROKERS) for (const server of servers) linked.link(brokerId, server).cut('refusing')
      for (const gateway of cluster.gateways) {
        await until('it says so', async () => (await readiness(gateway)).body.includes('lack it, too'))
      }
      await delay(OUTAGE_MS)
      for (const brokerId of BROKERS) assert.equal(await proxy.status(brokerId), 'UP')
      // Also who comes now gets an answer.
      if (servers.some((server) => server === 'redis')) {
        await assert.rejects(RawClient.login(proxy, { user: 'carol' }), /unavailable/)
      } else await (await RawClient.login(proxy, { user: 'carol' }))[Symbol.asyncDispose]()
      for (const brokerId of BROKERS) for (const server of servers) linked.link(brokerId, server).mend()
      const accepted = await traffic.stop()
      for (const device of devices) {
        await device.has(accepted)
        assertDelivered(device, accepted)
        assert.deepEqual([device.connections.length, device.disconnections], [1, []], device.name)
      }
    })
  }

  it('a gateway that is cut off alone loses its sessions, and its clients have moved by then', async () => {
    await using linked = await LinkedCluster.start(BROKERS, env)
    const { cluster } = linked
    await using stack = new AsyncDisposableStack()
    const proxy = stack.use(await startHaProxy(cluster.gateways, PATIENCE))
    const devices: Device[] = []
    for (let at = 0; at < PEOPLE; at++) {
      const transport = at % 2 === 0 ? 'tcp' : 'ws'
      devices.push(stack.use(await Device.open([proxy], { user: 'alice', imei: `d${at}`, transport })))
    }
    const bob = stack.use(await Device.open([cluster.gateway('gw-1')], { user: 'bob' }))
    // Who does not go when asked to is closed by HAProxy.
    const stayers: RawClient[] = []
    for (let at = 0; at < BROKERS.length; at++) {
      stayers.push(stack.use(await RawClient.login(proxy, { user: 'carol', imei: `d${at}` })))
    }
    const brokersOf = (clients: readonly RawClient[]) =>
      clients.map((client) => client.framesOf('loggedIn')[0]?.brokerId)
    assert.ok(devices.some(({ brokerId }) => brokerId === 'gw-0') && brokersOf(stayers).includes('gw-0'))
    const traffic = startTraffic(bob, 'alice', 50)
    for (const server of ['redis', 'nats'] as const) linked.link('gw-0', server).cut('refusing')
    await until('HAProxy takes it for down', async () => (await proxy.status('gw-0')).startsWith('DOWN'))
    const [stayer] = stayers.filter((_, at) => brokersOf(stayers)[at] === 'gw-0')
    assert.equal(await stayer?.ended(), 'lost')
    assert.equal(stayer?.framesOf('goAway').length, 1)
    for (const device of devices) {
      assert.notEqual(device.brokerId, 'gw-0')
      assert.deepEqual(device.disconnections, [], device.name)
    }
    for (const server of ['redis', 'nats'] as const) linked.link('gw-0', server).mend()
    await until('HAProxy takes it for up', async () => (await proxy.status('gw-0')) === 'UP')
    const accepted = await traffic.stop()
    for (const device of devices) {
      await device.has(accepted)
      assertDelivered(device, accepted)
    }
    for (const brokerId of BROKERS.slice(1)) assert.equal(await proxy.status(brokerId), 'UP')
  })
})
