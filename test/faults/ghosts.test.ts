import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import { RawClient } from '../kit/raw-login.ts'
import type { Store } from '../kit/store.ts'
import { TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

/** How long a session that no gateway holds may be shown as online. */
const GONE_MS = 40_000
const gateways = ['gw-0', 'gw-1']
/** Longer than a test takes. */
const NEVER_MS = '86400000'

async function onlineIds(store: Store): Promise<string[]> {
  const online = (await store.sessions()).filter(({ connectState }) => connectState === 1)
  return online.map(({ connectionId }) => connectionId)
}

async function isOnline(store: Store, userId: string): Promise<boolean> {
  return (await store.sessionsOf(userId)).some(({ connectState }) => connectState === 1)
}

/** Waits until exactly these connections are online in Redis. One that was seen there must not be missing again. */
async function awaitLiving(store: Store, living: readonly RawClient[]): Promise<void> {
  const wanted = living.map(({ connectionId }) => connectionId)
  const seen = new Set<string>()
  let lost: string | undefined
  await until(
    'exactly the living sessions are online',
    async () => {
      const online = await onlineIds(store)
      lost ??= [...seen].find((id) => !online.includes(id))
      for (const id of wanted) if (online.includes(id)) seen.add(id)
      assert.deepEqual(online.toSorted(), wanted.toSorted())
      return true
    },
    GONE_MS,
  )
  assert.equal(lost, undefined, 'a living session was removed')
}

/** Writes a session into Redis that a living gateway should hold and does not, beside one that it holds. */
async function plantGhost(store: Store, beside: RawClient, userId: string): Promise<void> {
  const model = (await store.sessions()).find(({ connectionId }) => connectionId === beside.connectionId)
  assert.ok(model)
  await store.writeSession({ ...model, userId, connectionId: randomUUID() })
}

for (const hidden of [false, true]) {
  describe(`Redis goes back to when a device was connected${hidden ? ', hidden by a proxy' : ''}`, () => {
    it('that device is not online, and whoever is connected now is', async () => {
      // Without the slow round, which would find few sessions in time as well.
      const env = { IM_VERIFY_ROUND_MS: NEVER_MS }
      await using cluster = await TestCluster.start({ gateways, persistent: false, hidden, env })
      const { store } = cluster
      const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
      await using observer = await RawClient.login(first, { user: 'observer' })
      await using stays = await RawClient.login(second, { user: 'alice', imei: 'stays' })
      await using broken = await RawClient.login(second, { user: 'alice', imei: 'broken' })
      await using alone = await RawClient.login(second, { user: 'alone' })
      await using loggedOut = await RawClient.login(first, { user: 'left' })
      await using movedFrom = await RawClient.login(first, { user: 'bob', imei: 'moves' })
      await using reconnectedFrom = await RawClient.login(second, { user: 'bob', imei: 'reconnects' })
      await cluster.save()

      broken.destroy()
      alone.destroy()
      loggedOut.write({ type: 'logout', requestId: 1 })
      await loggedOut.ended()
      await using movedTo = await RawClient.login(second, { user: 'bob', imei: 'moves' })
      await using reconnectedTo = await RawClient.login(second, { user: 'bob', imei: 'reconnects' })
      for (const former of [movedFrom, reconnectedFrom]) assert.equal(await former.ended(), 'replaced')
      await using late = await RawClient.login(first, { user: 'carol' })
      const living = [observer, stays, movedTo, reconnectedTo, late]
      await awaitLiving(store, living)

      await cluster.rollBack()
      await awaitLiving(store, living)
      assert.deepEqual(await observer.online('alice', 'alone', 'left', 'bob', 'carol'), ['alice', 'bob', 'carol'])
      for (const user of ['alice', 'bob', 'carol']) {
        assert.equal((await observer.send(user, `to ${user}`)).type, 'accepted')
      }
      for (const client of living.slice(1)) await client.waitFor('message')
      assert.ok(living.every(({ ending }) => ending === 'open'))
      await awaitLiving(store, living)
    })
  })
}

describe('a session that is online in Redis at a living gateway which does not hold it', () => {
  for (const [where, senderAt] of [
    ['at that gateway', 'gw-1'],
    ['at another gateway', 'gw-0'],
  ] as const) {
    it(`ends when a message is sent to it ${where}, which is kept`, async () => {
      await using cluster = await TestCluster.start({ gateways, env: { IM_VERIFY_ROUND_MS: NEVER_MS } })
      const { store } = cluster
      await using beside = await RawClient.login(cluster.gateway('gw-1'), { user: 'carol' })
      await using alice = await RawClient.login(cluster.gateway(senderAt), { user: 'alice' })
      await plantGhost(store, beside, 'ghost')
      assert.equal((await alice.send('ghost', 'hello')).type, 'accepted')
      await until('the ghost is gone', async () => !(await isOnline(store, 'ghost')), GONE_MS)
      assert.deepEqual(await alice.online('ghost', 'carol'), ['carol'])

      await using living = await RawClient.login(cluster.gateway('gw-1'), { user: 'ghost' })
      await living.waitFor('message')
      await alice.send('ghost', 'again')
      await living.waitFor('message', ({ seq }) => seq === 2)
      assert.ok((await onlineIds(store)).includes(living.connectionId))
    })
  }

  it('ends in the slow round if nothing is sent to it, and no other session does', async () => {
    await using cluster = await TestCluster.start({ gateways, env: { IM_VERIFY_ROUND_MS: '1000' } })
    const { store } = cluster
    await using beside = await RawClient.login(cluster.gateway('gw-1'), { user: 'carol' })
    await using alice = await RawClient.login(cluster.gateway('gw-0'), { user: 'alice' })
    // One of a user without any device, and one beside a living device of its user at the same gateway.
    await plantGhost(store, beside, 'ghost')
    const model = (await store.sessionsOf('carol'))[0]
    assert.ok(model)
    await store.writeSession({ ...model, imei: 'ghost', connectionId: randomUUID() })
    await awaitLiving(store, [alice, beside])
    assert.deepEqual(await alice.online('ghost', 'carol'), ['carol'])
  })
})
