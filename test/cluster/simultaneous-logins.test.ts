import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RawClient } from '../kit/raw-login.ts'
import { readiness, TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

const LOGINS = 15

/** Logs devices of one user in at all gateways at once; resolves when each is logged in or closed. */
async function loginAtOnce({ gateways }: TestCluster): Promise<RawClient[]> {
  const clients = await Promise.all(
    Array.from({ length: LOGINS }, (_, index) => {
      const gateway = gateways[index % gateways.length]
      assert.ok(gateway)
      return RawClient.open(gateway)
    }),
  )
  // A device that is displaced at once may hear no answer to its login.
  await Promise.all(clients.map((client, index) => client.login({ user: 'alice', imei: `d${index}` }).catch(() => {})))
  return clients
}

/** Waits until one connection is left, and compares it with what Redis has. */
async function assertOneLeft({ store }: TestCluster, clients: readonly RawClient[]): Promise<RawClient> {
  const open = () => clients.filter(({ ending }) => ending === 'open')
  await until('one connection is left', () => open().length === 1)
  const [winner] = open()
  assert.ok(winner)
  const stored = (await store.sessionsOf('alice')).filter(({ connectState }) => connectState === 1)
  assert.deepEqual(
    stored.map(({ connectionId }) => connectionId),
    [winner.connectionId],
  )
  for (const client of clients) {
    // A login that others kept overtaking for too long is refused as something to try again.
    if (client !== winner) assert.ok(['displaced', 'unavailable'].includes(client.ending), client.ending)
  }
  return winner
}

async function assertReachable(cluster: TestCluster, winner: RawClient): Promise<void> {
  await using bob = await RawClient.login(cluster.gateway('gw-0'), { user: 'bob' })
  await bob.send('alice', 'hello')
  await winner.waitFor('message')
  assert.deepEqual(await bob.online('alice'), ['alice'])
  assert.equal(winner.ending, 'open')
}

async function dropAll(clients: readonly RawClient[]): Promise<void> {
  await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()))
}

describe('devices that log in at once where the policy allows one', () => {
  const env = { IM_DEVICE_POLICY: 'single', IM_VERIFY_ROUND_MS: '1000' }

  it('end up with one, which is the one that Redis has', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1', 'gw-2'], env })
    for (let round = 0; round < 3; round++) {
      const clients = await loginAtOnce(cluster)
      await assertReachable(cluster, await assertOneLeft(cluster, clients))
      await dropAll(clients)
    }
  })

  it('also when gateways cannot tell each other: the losers are found by verification', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1', 'gw-2'], env })
    await cluster.nats.stop()
    for (const gateway of cluster.gateways) {
      await until('NATS is missed', async () => (await readiness(gateway)).body.includes('NATS does not answer'))
    }
    const clients = await loginAtOnce(cluster)
    const winner = await assertOneLeft(cluster, clients)
    await cluster.nats.start()
    await assertReachable(cluster, winner)
    await dropAll(clients)
  })
})
