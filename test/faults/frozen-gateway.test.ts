import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import type { GatewayProcess } from '../kit/servers/gateway-process.ts'
import { Device } from '../kit/device.ts'
import { RawClient } from '../kit/raw-login.ts'
import { bootIdOf, exitOf, metric, TestCluster } from '../kit/test-cluster.ts'
import { PATIENCE_MS, until } from '../kit/wait.ts'

const env = { IM_LEASE_MS: '4000', IM_HEARTBEAT_MS: '500' }

/** Stops the process until its lease has run out. */
async function freezeBeyondLease({ store }: TestCluster, gateway: GatewayProcess): Promise<void> {
  gateway.kill('SIGSTOP')
  await until('the lease has run out', async () => (await store.lease(gateway.brokerId)) === undefined)
}

describe('a gateway that stood still for longer than its lease', () => {
  it('goes on: it keeps whoever is still there, and lets go of who went elsewhere', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    const { store } = cluster
    const [frozen, other] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
    const boot = await bootIdOf(frozen)
    await using carol = await RawClient.login(frozen, { user: 'carol' })
    await using aliceBefore = await RawClient.login(frozen, { user: 'alice', imei: 'phone' })
    await using dave = await Device.open([frozen, other], { user: 'dave' })
    await using bob = await Device.open([other], { user: 'bob' })

    await freezeBeyondLease(cluster, frozen)
    await using alice = await RawClient.login(other, { user: 'alice', imei: 'phone' })
    await until('dave has given the frozen gateway up', () => dave.brokerId === 'gw-1')
    const toCarol = await bob.client.send('carol', 'while frozen')
    const toAlice = await bob.client.send('alice', 'while frozen')
    const toDave = await bob.client.send('dave', 'while frozen')
    frozen.kill('SIGCONT')

    assert.equal(await aliceBefore.ended(), 'replaced')
    await until('the lease is back', async () => (await store.lease('gw-0'))?.bootId === boot)
    await carol.waitFor('message', ({ seq }) => seq === toCarol.seq)
    await alice.waitFor('message', ({ seq }) => seq === toAlice.seq)
    await dave.has([toDave])
    await frozen.ready(PATIENCE_MS)
    await until('everything is in its place', async () => {
      assert.deepEqual(
        (await store.sessions()).map(({ connectionId, connectState }) => `${connectionId} ${connectState}`).toSorted(),
        [carol.connectionId, alice.connectionId, dave.connectionId, bob.connectionId]
          .map((connectionId) => `${connectionId} 1`)
          .toSorted(),
      )
      return true
    })
    assert.deepEqual([carol.ending, alice.ending], ['open', 'open'])
    assert.equal(dave.connections.length, 2, 'its move was its only one')
    assert.equal((await carol.send('bob', 'still here')).type, 'accepted')
    await until('bob hears carol', () => bob.texts.includes('still here'))
    // And nothing had to be mended: no session was lost or taken on the way.
    for (const gateway of cluster.gateways) {
      assert.equal(await metric(gateway, 'im_sessions_reasserted_total', 'result="written"'), 0, gateway.brokerId)
    }
    assert.ok(frozen.running)
  })

  it('ends when another process is its broker by now, and touches nothing of that one', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    const { store } = cluster
    const [frozen, other] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
    const frozenBoot = await bootIdOf(frozen)
    await using carolBefore = await RawClient.login(frozen, { user: 'carol' })
    await using aliceBefore = await RawClient.login(frozen, { user: 'alice', imei: 'phone' })
    await using erin = await Device.open([frozen, other], { user: 'erin' })
    await using bob = await Device.open([other], { user: 'bob' })

    await freezeBeyondLease(cluster, frozen)
    const next = await cluster.startGateway('gw-0', { IM_POD_UID: randomUUID() })
    const nextBoot = await bootIdOf(next)
    await using alice = await RawClient.login(next, { user: 'alice', imei: 'phone' })
    await using frank = await RawClient.login(next, { user: 'frank' })
    await until('the sessions of the frozen boot are cleaned', async () => {
      const traces = await store.traces(frozenBoot)
      return !traces.some((trace) => trace.startsWith('session'))
    })
    const before = await store.sessions()
    frozen.kill('SIGCONT')

    assert.deepEqual(await exitOf(frozen), { code: 1, signal: null })
    assert.equal(frozen.logs().at(-1)?.['code'], 'BROKER_REPLACED')
    assert.equal(await carolBefore.ended(), 'broker_replaced')
    // Either way it is told to go: as a session that lives on elsewhere, or with the whole process.
    assert.ok(['broker_replaced', 'replaced'].includes(await aliceBefore.ended()), aliceBefore.ending)
    await until('erin is elsewhere', () => erin.brokerId === 'gw-1')

    const ids = [alice.connectionId, frank.connectionId, erin.connectionId, bob.connectionId]
    const after = await store.sessions()
    assert.deepEqual(after.map(({ connectionId }) => connectionId).toSorted(), ids.toSorted())
    assert.ok(before.every((session) => after.some(({ connectionId }) => connectionId === session.connectionId)))
    assert.deepEqual(await store.traces(frozenBoot), [])
    assert.deepEqual((await store.traces(nextBoot)).toSorted(), [
      'index',
      'lease',
      'register',
      'session alice/phone',
      'session frank/browser',
    ])
    await bob.client.send('alice', 'to the new one')
    await alice.waitFor('message')
    await next.ready(PATIENCE_MS)
    assert.deepEqual([alice.ending, frank.ending], ['open', 'open'])
  })
})
