import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { brokerField } from '../../session/keys.ts'
import { RawClient } from '../kit/raw-login.ts'
import { bootIdOf, exitOf, readiness, TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

/** How long anything in Redis may be as it was before. */
const BACK_MS = 40_000
const bob = { appId: 1, userId: 'bob' }

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

    it('register: the mark of a cleanup goes from the entry of a gateway that lives', async () => {
      await using cluster = await TestCluster.start({ gateways: ['gw-0'], persistent: false, hidden })
      const { redis, keys } = cluster.store
      const field = brokerField('gw-0', await bootIdOf(cluster.gateway('gw-0')))
      const readEntry = () => redis.hget(keys.brokers(), field)
      const entry = (await readEntry()) ?? assert.fail('the gateway is not registered')
      await redis.hset(keys.brokers(), field, JSON.stringify({ ...JSON.parse(entry), cleanedAt: 1, removed: 3 }))
      await cluster.save()
      await cluster.rollBack()
      await until('the entry is as it was', async () => (await readEntry()) === entry, BACK_MS)
    })

    for (const [what, podUids] of [
      ['a former boot of the same pod', ['pod-a', 'pod-a']],
      ['a former pod of its name', ['pod-a', 'pod-b']],
    ] as const) {
      it(`leases, register: ${what} is in both, with a session; the gateway that lives stays and cleans it`, async () => {
        // Longer than the test takes until Redis goes back, or there would be no lease in what it saved.
        const env = { IM_LEASE_MS: '15000', IM_DRAIN_DEADLINE_MS: '500' }
        await using cluster = await TestCluster.start({ persistent: false, hidden, env })
        const { store } = cluster
        const [former, next] = podUids
        const before = await cluster.startGateway('gw-0', { IM_POD_UID: former })
        const formerBoot = await bootIdOf(before)
        await using _carol = await RawClient.login(before, { user: 'carol' })
        await cluster.save()
        before.kill('SIGTERM')
        await exitOf(before)
        const living = await cluster.startGateway('gw-0', { IM_POD_UID: next })
        const boot = await bootIdOf(living)
        await using alice = await RawClient.login(living, { user: 'alice' })

        await cluster.rollBack()
        const holds = until(
          'the living gateway holds the lease',
          async () => (await store.lease('gw-0'))?.bootId === boot,
          BACK_MS,
        )
        await Promise.race([holds, living.exited])
        assert.ok(living.running, `the living gateway ended: ${JSON.stringify(living.logs().at(-1))}`)
        await living.ready(BACK_MS)
        assert.equal((await readiness(living)).status, 200)
        await until('alice is online', async () => (await alice.online('alice')).includes('alice'), BACK_MS)
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
