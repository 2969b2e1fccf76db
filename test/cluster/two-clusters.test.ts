import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BusTap } from '../kit/bus-tap.ts'
import { RawClient } from '../kit/raw-login.ts'
import { Store } from '../kit/store.ts'
import { TestCluster } from '../kit/test-cluster.ts'
import { startGateway, type GatewayProcess } from '../kit/servers/gateway-process.ts'

/** Gateways gw-0 and gw-1 of a cluster that has the servers of another one, and a prefix of its own. */
async function startTenant({ redis, nats }: TestCluster, name: string) {
  await using stack = new AsyncDisposableStack()
  const prefixes = { IM_KEY_PREFIX: `${name}:`, IM_SUBJECT_PREFIX: `${name}.`, IM_DEVICE_POLICY: 'single' }
  const start = async (brokerId: string) => {
    const gateway = await startGateway({ brokerId, redisUrl: redis.url, natsUrl: nats.url, env: prefixes })
    return stack.adopt(gateway, async ({ exited }: GatewayProcess) => {
      gateway.kill('SIGKILL')
      await exited
    })
  }
  const [first, second] = await Promise.all([start('gw-0'), start('gw-1')])
  const store = stack.use(await Store.open(redis.url, `${name}:`))
  const tap = stack.use(await BusTap.open(nats.url, `${name}.`))
  const disposal = stack.move()
  return { first, second, store, tap, [Symbol.asyncDispose]: () => disposal.disposeAsync() }
}

describe('two clusters on one Redis and one NATS', () => {
  it('do not see each other, with the same brokers and users', async () => {
    await using servers = await TestCluster.start({})
    await using red = await startTenant(servers, 'red')
    await using blue = await startTenant(servers, 'blue')
    await using redAlice = await RawClient.login(red.second, { user: 'alice' })
    await using redBob = await RawClient.login(red.first, { user: 'bob' })
    await using blueBob = await RawClient.login(blue.first, { user: 'bob' })
    assert.deepEqual(await redBob.online('alice'), ['alice'])
    assert.deepEqual(await blueBob.online('alice'), [])

    // The same user and the same device: in one cluster it would take the other's place.
    await using blueAlice = await RawClient.login(blue.second, { user: 'alice' })
    const answers = []
    for (const durable of [true, false]) {
      answers.push(await redBob.send('alice', 'red', { durable }), await blueBob.send('alice', 'blue', { durable }))
    }
    assert.deepEqual(
      answers.map((answer) => answer.type === 'accepted' && answer.seq),
      [1, 1, 0, 0],
      'each has an inbox of its own',
    )
    for (const [alice, word] of [
      [redAlice, 'red'],
      [blueAlice, 'blue'],
    ] as const) {
      await alice.waitFor('message', ({ seq }) => seq === 0)
      assert.deepEqual(alice.texts, [word, word])
      assert.equal(alice.ending, 'open')
      assert.equal(alice.framesOf('notice').length, 0)
    }
    for (const { tap, store } of [red, blue]) {
      await tap.flush()
      assert.deepEqual(
        tap.messages.map(({ to, types }) => `${to} ${types.join(' ')}`),
        ['gw-1 push', 'gw-1 transient'],
      )
      assert.deepEqual((await store.sessions()).map(({ userId }) => userId).toSorted(), ['alice', 'bob'])
    }
    const keys = await servers.store.redis.keys('*')
    assert.deepEqual(
      keys.filter((key) => !/^(red|blue):/.test(key)),
      [],
      'no key is outside of the prefixes',
    )
  })
})
