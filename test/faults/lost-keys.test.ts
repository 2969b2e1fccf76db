import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { indexMember } from '../../session/keys.ts'
import { RawClient } from '../kit/raw-login.ts'
import { bootIdOf, exitOf, TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

/** How long anything that Redis lost may be missing. */
const BACK_MS = 40_000
const bob = { appId: 1, userId: 'bob' }

describe('Redis loses a key', () => {
  it('the register: each living gateway is in it again', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'] })
    const { redis, keys } = cluster.store
    const fields = await redis.hkeys(keys.brokers())
    assert.equal(fields.length, 2)
    await redis.del(keys.brokers())
    await until(
      'both are registered',
      async () => {
        assert.deepEqual((await redis.hkeys(keys.brokers())).toSorted(), fields.toSorted())
        return true
      },
      BACK_MS,
    )
  })

  it('a lease: the gateway takes it again, and goes on', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0'] })
    const { store } = cluster
    const gateway = cluster.gateway('gw-0')
    const boot = await bootIdOf(gateway)
    await using alice = await RawClient.login(gateway, { user: 'alice' })
    await store.redis.del(store.keys.lease('gw-0'))
    await until('the lease is back', async () => (await store.lease('gw-0'))?.bootId === boot, BACK_MS)
    assert.deepEqual(await alice.online('alice'), ['alice'])
    assert.ok(gateway.running)
  })

  it('an index: it is whole again, so that nothing of the gateway stays when it dies', async () => {
    // A quarter of the default, so that a slow machine, too, is in time.
    const env = { IM_POD_UID: 'pod-a', IM_VERIFY_ROUND_MS: '2000' }
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    const { redis, keys } = cluster.store
    const dying = cluster.gateway('gw-1')
    const boot = await bootIdOf(dying)
    await using _alice = await RawClient.login(dying, { user: 'alice', imei: 'phone' })
    await using _bob = await RawClient.login(dying, { user: 'bob' })
    await using gone = await RawClient.login(dying, { user: 'carol' })
    gone.destroy()
    await until('carol is offline', async () => (await cluster.store.sessionsOf('carol'))[0]?.connectState === 2)
    await redis.del(keys.index('gw-1', boot))

    const members = [
      indexMember({ appId: 1, userId: 'alice' }, { clientType: 1, imei: 'phone' }),
      indexMember(bob, { clientType: 1, imei: 'browser' }),
    ]
    await until(
      'the index has whoever is connected',
      async () => {
        const found = await redis.smembers(keys.index('gw-1', boot))
        return members.every((member) => found.includes(member))
      },
      BACK_MS,
    )
    dying.kill('SIGKILL')
    await exitOf(dying)
    await cluster.startGateway('gw-1')
    await until('no session stays online', async () => {
      const traces = (await cluster.store.sessions()).filter(
        ({ incarnation, connectState }) => incarnation.endsWith(`/${boot}`) && connectState === 1,
      )
      return traces.length === 0
    })
  })

  it('a session, and an inbox, of which nothing tells: the slow round finds them', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0'], env: { IM_VERIFY_ROUND_MS: '2000' } })
    const { store } = cluster
    await using device = await RawClient.login(cluster.gateway('gw-0'), { user: 'bob' })
    const { redis, keys } = store
    await redis.del(keys.sessions(bob))
    await until(
      'the session is back',
      async () => (await store.sessionsOf('bob'))[0]?.connectionId === device.connectionId,
      BACK_MS,
    )
    await redis.del(keys.inbox(bob), keys.inboxMeta(bob))
    await device.waitFor('gap', ({ reason }) => reason === 'reset', BACK_MS)
    assert.equal(device.ending, 'open')
  })

  it('a canary: all is compared and written again', async () => {
    const env = { IM_VERIFY_ROUND_MS: '86400000' }
    await using cluster = await TestCluster.start({ gateways: ['gw-0'], env })
    const { store } = cluster
    await using device = await RawClient.login(cluster.gateway('gw-0'), { user: 'bob' })
    const { redis, keys } = store
    const boot = await bootIdOf(cluster.gateway('gw-0'))
    const canary = (await until('the canary', async () => (await redis.keys(`im:canary:*:${boot}`))[0])) ?? ''
    const lost = [keys.index('gw-0', boot), keys.sessions(bob), keys.inbox(bob), keys.inboxMeta(bob)]
    await redis.del(canary, ...lost)
    await until(
      'the session is back',
      async () => (await store.sessionsOf('bob'))[0]?.connectionId === device.connectionId,
      BACK_MS,
    )
    await device.waitFor('gap', ({ reason }) => reason === 'reset', BACK_MS)
    const member = indexMember(bob, { clientType: 1, imei: 'browser' })
    assert.deepEqual(await redis.smembers(keys.index('gw-0', boot)), [member])
  })

  it('cursors: what a connected device acknowledges next is on record again', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0'] })
    const { redis, keys } = cluster.store
    await using alice = await RawClient.login(cluster.gateway('gw-0'), { user: 'alice' })
    await using device = await RawClient.login(cluster.gateway('gw-0'), { user: 'bob' })
    for (const text of ['one', 'two', 'three']) await alice.send('bob', text)
    await device.waitFor('message', ({ seq }) => seq === 3)
    device.ack(2)
    const readCursor = async () => (await redis.hget(keys.cursors(bob), '1:browser'))?.split(':').at(-1)
    await until('the cursor is stored', async () => (await readCursor()) === '2')
    await redis.del(keys.cursors(bob))
    device.ack(3)
    await until('the cursor is back', async () => (await readCursor()) === '3', BACK_MS)
  })
})
