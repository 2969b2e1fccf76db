import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LossyLink } from '../kit/lossy-link.ts'
import { RawClient } from '../kit/raw-login.ts'
import { metric, TestCluster } from '../kit/test-cluster.ts'
import { PATIENCE_MS, until } from '../kit/wait.ts'

/** gw-0 reaches Redis over a link that can lose an answer, gw-1 as usual. */
async function startCluster({ loginTimeoutMs = 1_500 } = {}) {
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await TestCluster.start({}))
  const link = await LossyLink.start(cluster.redis.port)
  const [lossy, other] = await Promise.all([
    cluster.startGateway('gw-0', {
      IM_REDIS_URL: `redis://127.0.0.1:${link.port}`,
      IM_REDIS_TIMEOUT_MS: '20000',
      IM_LOGIN_TIMEOUT_MS: String(loginTimeoutMs),
    }),
    cluster.startGateway('gw-1'),
  ])
  const disposal = stack.move()
  const dispose = async () => {
    await disposal.disposeAsync()
    await link[Symbol.asyncDispose]()
  }
  return { cluster, link, lossy, other, [Symbol.asyncDispose]: dispose }
}

describe('on a bad way to Redis', () => {
  it('a login of which the answer is lost is refused and leaves no session behind, and the connection that the device has stays', async () => {
    await using scene = await startCluster()
    const { cluster, link, lossy, other } = scene
    await using observer = await RawClient.login(other, { user: 'observer' })
    await using aliceBefore = await RawClient.login(lossy, { user: 'alice' })

    for (const user of ['alice', 'bob']) {
      link.loseAnswerTo('"connectState":1')
      await using refused = await RawClient.open(lossy)
      await assert.rejects(refused.login({ user }))
      assert.equal(refused.ending, 'unavailable')
      await lossy.ready(PATIENCE_MS)
    }
    await until('bob is offline', async () => (await cluster.store.sessionsOf('bob')).length === 0)
    await until('alice has her former session', async () => {
      const [session] = await cluster.store.sessionsOf('alice')
      return session?.connectionId === aliceBefore.connectionId && session.connectState === 1
    })
    assert.deepEqual(await observer.online('alice', 'bob'), ['alice'])
    await observer.send('alice', 'hello')
    await aliceBefore.waitFor('message')
    assert.equal(aliceBefore.ending, 'open')
  })

  it('a send of which the answer is lost is refused as unavailable, and repeated it is the same message', async () => {
    await using scene = await startCluster()
    const { link, lossy, other } = scene
    await using alice = await RawClient.login(other, { user: 'alice' })
    await using bob = await RawClient.login(lossy, { user: 'bob' })
    const send = bob.buildSend('alice', 'only once')

    link.loseAnswerTo('only once')
    bob.write(send)
    const refusal = await bob.answerTo(send.requestId)
    assert.equal(refusal.type === 'error' && refusal.code, 4001)
    await lossy.ready(PATIENCE_MS)
    const again = { ...send, requestId: send.requestId + 1000 }
    bob.write(again)
    const answer = await bob.answerTo(again.requestId)
    assert.deepEqual(answer.type === 'accepted' && [answer.seq, answer.duplicate], [1, true])
    await alice.waitFor('message')
    await bob.send('alice', 'and this')
    await alice.waitFor('message', ({ seq }) => seq === 2)
    assert.deepEqual(alice.texts, ['only once', 'and this'])
  })

  it('a login that its gateway has given up does not take the place of the one that came after it', async () => {
    await using scene = await startCluster()
    const { cluster, link, lossy, other } = scene
    await using first = await RawClient.open(lossy)
    const { held, release } = link.holdBack('"connectState":1')
    const refused = assert.rejects(first.login({ user: 'alice' }))
    await held
    await refused
    assert.equal(first.ending, 'login_timeout')

    await using second = await RawClient.login(other, { user: 'alice' })
    release()
    // `unavailable` where this took longer than a login goes on trying.
    const results = ['gone', 'unavailable']
    await until('the login is over', async () => {
      const counts = results.map((result) => metric(lossy, 'im_logins_total', `result="${result}"`))
      return (await Promise.all(counts)).includes(1)
    })
    assert.deepEqual(
      (await cluster.store.sessionsOf('alice')).map(({ connectionId }) => connectionId),
      [second.connectionId],
    )
    assert.deepEqual(await second.online('alice'), ['alice'])
    assert.equal(second.ending, 'open')
  })

  for (const wire of ['tcp', 'binary'] as const) {
    it(`a login that its client has given up does not take the place of the one that came after it (${wire})`, async () => {
      // The gateway itself has all the patience in the world.
      await using scene = await startCluster({ loginTimeoutMs: 120_000 })
      const { cluster, link, lossy, other } = scene
      await using first = await RawClient.open(lossy, wire)
      const { held, release } = link.holdBack('"connectState":1')
      const refused = assert.rejects(first.login({ user: 'alice' }))
      await held
      first.destroy()
      await refused
      await until('its end is seen', async () => (await metric(lossy, 'im_connections')) === 0)

      await using second = await RawClient.login(other, { user: 'alice' })
      release()
      await until('the login is over', async () => (await metric(lossy, 'im_logins_total', 'result="gone"')) === 1)
      assert.deepEqual(
        (await cluster.store.sessionsOf('alice')).map(({ connectionId }) => connectionId),
        [second.connectionId],
      )
      assert.equal(second.ending, 'open')
    })
  }
})
