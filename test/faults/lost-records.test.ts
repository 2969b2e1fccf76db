import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BusTap } from '../kit/bus-tap.ts'
import { extractFormerRelease, lacksFormerRelease } from '../kit/former-release.ts'
import { LeakyLink } from '../kit/leaky-link.ts'
import { RawClient } from '../kit/raw-login.ts'
import { metric, TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

/** With so many users at the receiving gateway before bob, the slow round of verification comes to him after more than a minute. */
const BYSTANDERS = 130
const env = { IM_VERIFY_ROUND_MS: '3600000', IM_LEASE_MS: '3000', IM_DRAIN_DEADLINE_MS: '200' }
/** First byte of a message with binary records. */
const BINARY = 1

/** Alice at gw-0, whose way to NATS leaks, and bob at gw-1. */
async function connectTwo(roots: { readonly sender?: string; readonly receiver?: string } = {}, own = {}) {
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await TestCluster.start({ env }))
  const link = stack.use(await LeakyLink.start(cluster.nats.port))
  const natsUrl = `nats://127.0.0.1:${link.port}`
  const [near, far] = await Promise.all([
    cluster.startGateway('gw-0', { ...own, IM_NATS_SERVERS: natsUrl }, { root: roots.sender }),
    cluster.startGateway('gw-1', own, { root: roots.receiver }),
  ])
  const alice = stack.use(await RawClient.login(near, { user: 'alice' }))
  const names = Array.from({ length: BYSTANDERS }, (_, at) => `bystander-${at}`)
  for (const client of await Promise.all(names.map((user) => RawClient.login(far, { user })))) stack.use(client)
  const bob = stack.use(await RawClient.login(far, { user: 'bob' }))
  const all = stack.move()
  return { cluster, link, near, far, alice, bob, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** The next message for gw-1 is lost, and so many after it. */
function loseOne(link: LeakyLink, more = 0): void {
  let left = 1 + more
  link.lose((brokerId) => {
    if (brokerId !== 'gw-1' || left === 0) return false
    left -= 1
    return true
  })
}

async function assertGot(bob: RawClient, texts: readonly string[]): Promise<void> {
  await until(`bob has ${texts.join(', ')}`, () => bob.texts.length >= texts.length)
  assert.deepEqual(bob.texts, texts)
  assert.deepEqual(bob.framesOf('gap'), [])
}

describe('a message between two gateways is lost, and nothing tells of it', () => {
  it('the first ever: it arrives all the same', async (t) => {
    await using two = await connectTwo()
    loseOne(two.link)
    const sentAt = performance.now()
    await two.alice.send('bob', 'first')
    await assertGot(two.bob, ['first'])
    t.diagnostic(`after ${Math.round(performance.now() - sentAt)} ms`)
    assert.deepEqual(two.link.lost, ['gw-1'])
    await until('the hole is counted', async () => (await metric(two.far, 'im_bus_holes_total')) === 1)
  })

  it('the last one of many, and what tells its number: it arrives all the same', async (t) => {
    await using two = await connectTwo()
    for (const text of ['1', '2', '3']) await two.alice.send('bob', text)
    await assertGot(two.bob, ['1', '2', '3'])
    loseOne(two.link, 1)
    const sentAt = performance.now()
    await two.alice.send('bob', '4')
    await assertGot(two.bob, ['1', '2', '3', '4'])
    t.diagnostic(`after ${Math.round(performance.now() - sentAt)} ms`)
  })

  it('one of another user shows with the next one for anybody', async () => {
    await using two = await connectTwo()
    await using carol = await RawClient.login(two.far, { user: 'carol' })
    loseOne(two.link)
    await two.alice.send('bob', 'lost')
    await two.alice.send('carol', 'next')
    await assertGot(carol, ['next'])
    await until('the hole is seen', async () => (await metric(two.far, 'im_bus_holes_total')) === 1)
    await assertGot(two.bob, ['lost'])
  })

  it('and its sender is killed: it arrives all the same', async () => {
    await using two = await connectTwo()
    await two.alice.send('bob', 'before')
    await assertGot(two.bob, ['before'])
    two.link.lose((brokerId) => brokerId === 'gw-1')
    await two.alice.send('bob', 'lost')
    two.near.kill('SIGKILL')
    await assertGot(two.bob, ['before', 'lost'])
    await until('the hole is counted', async () => (await metric(two.far, 'im_bus_holes_total')) === 1)
  })

  it('and its receiver was restarted before: it arrives all the same', async () => {
    // Of the inboxes it reads streams alone.
    await using two = await connectTwo({}, { IM_INBOX_FORMAT: 'stream' })
    await two.alice.send('bob', 'before')
    await assertGot(two.bob, ['before'])
    two.far.kill('SIGKILL')
    await two.far.exited
    const far = await two.cluster.startGateway('gw-1')
    await using bob = await RawClient.login(far, { user: 'bob', cursor: await cursorOf(two.bob) })
    loseOne(two.link)
    await two.alice.send('bob', 'lost')
    await assertGot(bob, ['lost'])
    // And what came before, to the process before, is no hole.
    await two.alice.send('bob', 'next')
    await assertGot(bob, ['lost', 'next'])
    assert.equal(await metric(far, 'im_bus_holes_total'), 1)
  })

  it('nothing is lost, and nothing is sent between gateways at rest', async () => {
    await using two = await connectTwo()
    for (const text of ['1', '2', '3']) await two.alice.send('bob', text)
    await assertGot(two.bob, ['1', '2', '3'])
    const published = () => metric(two.near, 'im_bus_published_total')
    // The three, and twice the number of the last of them: the third time is later.
    await until('the number is told twice', async () => (await published()) === 5)
    const probesLater = performance.now() + 5_000
    await until('five probes go by', () => performance.now() > probesLater)
    assert.equal(await published(), 5)
    assert.equal(await metric(two.far, 'im_bus_holes_total'), 0)
  })
})

async function cursorOf(client: RawClient): Promise<{ epoch: string; seq: number }> {
  const [loggedIn] = client.framesOf('loggedIn')
  await client.sync().catch(() => undefined)
  return { epoch: loggedIn?.epoch ?? '', seq: client.framesOf('message').at(-1)?.seq ?? 0 }
}

describe('gateways of the former release', { skip: await lacksFormerRelease() }, () => {
  it('are sent what they read, and send what is read', async () => {
    await using release = await extractFormerRelease()
    await using cluster = await TestCluster.start({ env: { ...env, IM_DEVICE_POLICY: 'single' } })
    const [old, first, second] = [
      await cluster.startGateway('gw-old', {}, { root: release.root }),
      await cluster.startGateway('gw-0'),
      await cluster.startGateway('gw-1'),
    ]
    await using tap = await BusTap.open(cluster.nats.url)
    await using stack = new AsyncDisposableStack()
    const gateways = [old, first, second]
    const users = await Promise.all(
      gateways.map(async (gateway) => {
        const user = `at-${gateway.brokerId}`
        return { user, client: stack.use(await RawClient.login(gateway, { user })) }
      }),
    )
    for (const { user: from, client } of users) {
      for (const { user: to } of users.filter(({ user }) => user !== from)) {
        await client.send(to, `durable from ${from}`)
        await client.send(to, `transient from ${from}`, { durable: false })
      }
    }
    for (const { user, client } of users) {
      const others = users.filter((other) => other.user !== user)
      const wanted = others.flatMap((other) => ['durable', 'transient'].map((kind) => `${kind} from ${other.user}`))
      await until(`${user} has all`, () => client.texts.length >= wanted.length)
      assert.deepEqual(client.texts.toSorted(), wanted.toSorted())
    }
    // A device that goes from gateway to gateway: it is evicted where it was, and found where it is.
    let [last] = users
    for (const gateway of [first, old, second, old, first]) {
      const client = stack.use(await RawClient.login(gateway, { user: 'at-gw-old', imei: gateway.brokerId }))
      await until('the former device is gone', () => last?.client.ending !== 'open')
      last = { user: 'at-gw-old', client }
      for (const { user, client: sender } of users.slice(1)) {
        await sender.send('at-gw-old', `again from ${user}`)
        // Its route is an old one, and corrected.
        await sender.send('at-gw-old', `still from ${user}`, { durable: false })
      }
      const texts = () => client.texts.filter((text) => /again|still/.test(text)).slice(-4)
      await until('it gets what is sent now', () => texts().length === 4)
    }
    await tap.flush()
    const formsTo = (brokerId: string) =>
      tap.messages.flatMap((message) => (message.to === brokerId ? message.form : []))
    assert.ok(!formsTo('gw-old').includes(BINARY), 'the former release is sent no binary records')
    assert.ok(formsTo('gw-0').includes(BINARY), 'this release is')
    for (const gateway of gateways) assert.equal(await metric(gateway, 'im_bus_malformed_total'), 0, gateway.brokerId)
  })

  it('lose a message on the way to this release: it arrives all the same', async () => {
    await using release = await extractFormerRelease()
    await using two = await connectTwo({ sender: release.root })
    await two.alice.send('bob', 'before')
    await assertGot(two.bob, ['before'])
    loseOne(two.link)
    await two.alice.send('bob', 'lost')
    await assertGot(two.bob, ['before', 'lost'])
  })

  it('take the place of one of this release that was killed: they are sent what they read at once', async () => {
    await using release = await extractFormerRelease()
    // Of the inboxes it reads streams alone.
    await using two = await connectTwo({}, { IM_INBOX_FORMAT: 'stream' })
    await two.alice.send('bob', 'before')
    await assertGot(two.bob, ['before'])
    two.far.kill('SIGKILL')
    await two.far.exited
    const far = await two.cluster.startGateway('gw-1', {}, { root: release.root })
    await using bob = await RawClient.login(far, { user: 'bob', cursor: await cursorOf(two.bob) })
    for (const text of ['1', '2', '3']) await two.alice.send('bob', text)
    await assertGot(bob, ['1', '2', '3'])
    assert.equal(await metric(far, 'im_bus_malformed_total'), 0)
  })
})
