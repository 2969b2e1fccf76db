import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { indexMember } from '../../session/keys.ts'
import { RawClient } from '../kit/raw-client.ts'
import { bootIdOf, exitOf, readiness, TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

/** How long anything that Redis lost may be missing. */
const BACK_MS = 10_000
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
    const env = { IM_POD_UID: 'pod-a' }
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

for (const hidden of [false, true]) {
  describe(`Redis goes back to a former state${hidden ? ', hidden by a proxy' : ''}`, () => {
    it('cursors: what a connected device has acknowledged is on record again, as far as it was kept', async () => {
      await using cluster = await TestCluster.start({ gateways: ['gw-0'], persistent: false, hidden })
      const { redis, keys } = cluster.store
      const gateway = cluster.gateway('gw-0')
      await using alice = await RawClient.login(gateway, { user: 'alice' })
      await using whole = await RawClient.login(gateway, { user: 'bob', imei: 'whole' })
      await using cut = await RawClient.login(gateway, { user: 'bob', imei: 'cut' })
      const readCursor = async (imei: string) => (await redis.hget(keys.cursors(bob), `1:${imei}`))?.split(':').at(-1)
      const acknowledge = async (device: RawClient, imei: string, seq: number) => {
        await device.waitFor('message', (message) => message.seq >= seq)
        device.ack(seq)
        await until(`the cursor of ${imei}`, async () => (await readCursor(imei)) === String(seq))
      }
      for (const text of ['one', 'two', 'three']) await alice.send('bob', text)
      await acknowledge(whole, 'whole', 1)
      await acknowledge(cut, 'cut', 1)
      await cluster.save()
      await acknowledge(whole, 'whole', 3)
      for (const text of ['lost', 'lost too']) await alice.send('bob', text)
      await acknowledge(cut, 'cut', 5)
      await cluster.rollBack()

      // The one has handled all that is left; what the other has handled beyond that is lost.
      for (const imei of ['whole', 'cut']) {
        await until(`the cursor of ${imei} is back`, async () => (await readCursor(imei)) === '3', BACK_MS)
      }
      await using again = await RawClient.login(gateway, { user: 'bob', imei: 'whole' })
      await until('alice is back', async () => (await alice.send('bob', 'new')).type === 'accepted')
      await again.waitFor('message')
      assert.deepEqual(again.texts, ['new'])
    })

    for (const [what, podUids] of [
      ['a former boot of the same pod', ['pod-a', 'pod-a']],
      ['a former pod of its name', ['pod-a', 'pod-b']],
    ] as const) {
      it(`leases: ${what} holds the lease in it, and the gateway that lives stays`, async () => {
        // Longer than the test takes until Redis goes back, or there would be no lease in what it saved.
        const env = { IM_LEASE_MS: '24000', IM_DRAIN_DEADLINE_MS: '500' }
        await using cluster = await TestCluster.start({ persistent: false, hidden, env })
        const { store } = cluster
        const [former, next] = podUids
        const before = await cluster.startGateway('gw-0', { IM_POD_UID: former })
        const formerBoot = await bootIdOf(before)
        await cluster.save()
        before.kill('SIGTERM')
        await exitOf(before)
        const living = await cluster.startGateway('gw-0', { IM_POD_UID: next })
        const boot = await bootIdOf(living)
        await using alice = await RawClient.login(living, { user: 'alice' })

        await cluster.rollBack()
        await until(
          'the living gateway holds the lease',
          async () => {
            assert.ok(living.running, 'the living gateway ended')
            return (await store.lease('gw-0'))?.bootId === boot
          },
          BACK_MS,
        )
        await living.ready(BACK_MS)
        assert.equal((await readiness(living)).status, 200)
        assert.deepEqual(await alice.online('alice'), ['alice'])
        assert.equal(alice.ending, 'open')
        await until(
          'no session of the former boot is online',
          async () =>
            !(await store.traces(formerBoot)).some((trace) => trace.startsWith('session') || trace === 'lease'),
          BACK_MS,
        )
      })
    }
  })
}
