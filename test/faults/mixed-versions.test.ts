import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { GatewayProcess } from '../kit/servers/gateway-process.ts'
import type { Sent } from '../../client/index.ts'
import { assertDelivered, assertSenderOrder, Device, sendEach, startTraffic } from '../kit/device.ts'
import { extractFormerRelease, lacksFormerRelease } from '../kit/former-release.ts'
import { RawClient } from '../kit/raw-login.ts'
import { five, isEmpty, storyOf } from '../kit/story.ts'
import { exitOf, metric, TestCluster } from '../kit/test-cluster.ts'
import { PATIENCE_MS, until } from '../kit/wait.ts'

const skip = await lacksFormerRelease()
const env = { IM_DRAIN_JITTER_MS: '200', IM_LEASE_MS: '3000' }

interface Position {
  readonly epoch: string
  readonly seq: number
}

/** A device of bob without the SDK comes for what it missed since `cursor`, and goes. Resolves with where it is then. */
async function visit(gateway: GatewayProcess, cursor: Position | undefined): Promise<Position> {
  const device = { user: 'bob', imei: 'visitor' }
  await using client = await RawClient.login(gateway, cursor === undefined ? device : { ...device, cursor })
  const [loggedIn] = client.framesOf('loggedIn')
  const head = loggedIn?.head ?? 0
  await client.waitFor('message', ({ seq }) => seq >= head)
  const seqs = client.framesOf('message').map(({ seq }) => seq)
  const first = (cursor?.seq ?? 0) + 1
  const where = `at ${gateway.brokerId} from ${first}: ${storyOf(client).join(', ')}`
  assert.deepEqual(
    seqs,
    seqs.map((_, at) => first + at),
    where,
  )
  const gaps = client.framesOf('gap')
  assert.ok(gaps.every(isEmpty), where)
  client.ack(seqs.at(-1) ?? 0)
  await client.sync()
  return { epoch: gaps.at(-1)?.epoch ?? loggedIn?.epoch ?? '', seq: seqs.at(-1) ?? 0 }
}

describe('gateways of the former release beside those of this one', { skip }, () => {
  it('in a rolling update and back: every message arrives once, in order, and nobody is told of a loss', async () => {
    await using release = await extractFormerRelease()
    const { root } = release
    await using cluster = await TestCluster.start({ env })
    for (const brokerId of ['gw-0', 'gw-1']) await cluster.startGateway(brokerId, {}, { root })
    const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
    await using stack = new AsyncDisposableStack()
    const devices: Device[] = []
    for (const user of ['alice', 'bob']) {
      for (const [imei, addresses] of [
        ['one', [first, second]],
        ['two', [second, first]],
      ] as const) {
        const transport = imei === 'one' ? 'tcp' : 'ws'
        devices.push(stack.use(await Device.open(addresses, { user, imei, transport })))
      }
    }
    const traffic = devices.map((device) => {
      const to = device.user === 'alice' ? 'bob' : 'alice'
      return { to, ...startTraffic(device, to, 20) }
    })

    let position = await visit(first, undefined)
    const check = async () => {
      const counts = devices.map(({ received }) => received.length)
      await until('traffic goes on', () =>
        devices.every(({ received }, at) => received.length > (counts[at] ?? 0) + 10),
      )
      // From one release to the other and back, whichever of them are here.
      for (const gateway of [...cluster.gateways, ...cluster.gateways.toReversed()]) {
        position = await visit(gateway, position)
        await using observer = await RawClient.login(gateway, { user: 'observer' })
        assert.deepEqual(await observer.online('alice', 'bob', 'nobody'), ['alice', 'bob'])
      }
    }
    await check()
    const { redis, keys } = cluster.store
    const typesAre = (type: string) =>
      until(`inboxes are of type ${type}`, async () => {
        const types = await Promise.all(
          ['alice', 'bob'].map((userId) => redis.type(keys.inboxMeta({ appId: 1, userId }))),
        )
        return types.every((found) => found === type)
      })
    const roll = async (env: Readonly<Record<string, string>>, options: { readonly root?: string }) => {
      for (const brokerId of ['gw-0', 'gw-1']) {
        const leaving = cluster.gateway(brokerId)
        leaving.kill('SIGTERM')
        assert.deepEqual(await exitOf(leaving), { code: 0, signal: null })
        await cluster.startGateway(brokerId, env, options)
        await check()
      }
    }
    await roll({}, {})
    // Streams, which the former release reads, until it has been away for a while.
    await typesAre('string')
    await check()
    await roll({ IM_INBOX_FORMAT: 'stream' }, {})
    await cluster
      .gateway('gw-0')
      .waitForLog(({ msg }) => String(msg).startsWith('every inbox is a stream'), PATIENCE_MS)
    await typesAre('hash')
    await check()
    await roll({}, { root })

    const accepted = await Promise.all(traffic.map(async (each) => ({ to: each.to, sent: await each.stop() })))
    for (const device of devices) {
      const inbox = accepted.filter(({ to }) => to === device.user).flatMap(({ sent }) => sent)
      await device.has(inbox)
      assertDelivered(device, inbox)
      assertSenderOrder(device.texts)
      assert.deepEqual([device.gaps, device.disconnections], [[], []], device.name)
    }
    await until('each device is online once, over the connection that it has', async () => {
      const online = (await cluster.store.sessions()).filter(({ connectState }) => connectState === 1)
      assert.deepEqual(
        online.map(({ connectionId }) => connectionId).toSorted(),
        devices.map(({ connectionId }) => connectionId).toSorted(),
      )
      return true
    })
  })

  it('no list is written while one of the former release is away and may come back', async () => {
    await using release = await extractFormerRelease()
    await using cluster = await TestCluster.start({ env: { IM_LEASE_MS: '300' } })
    const former = await cluster.startGateway('gw-0', {}, { root: release.root })
    await using alice = await RawClient.login(former, { user: 'alice' })
    await using bob = await RawClient.login(await cluster.startGateway('gw-1'), { user: 'bob' })
    former.kill('SIGSTOP')
    const { redis, keys } = cluster.store
    await until('its lease is over', async () => (await cluster.store.lease('gw-0')) === undefined)
    const since = performance.now()
    while (performance.now() - since < 20 * 300) await bob.send('alice', 'while it is away')
    assert.equal(await redis.exists(keys.inboxFormat()), 0)
    former.kill('SIGCONT')
    await bob.send('alice', 'the last')
    await alice.waitFor('message', ({ payload }) => Buffer.from(payload).toString() === 'the last')
    assert.equal((await alice.send('bob', 'back')).type, 'accepted')
    await bob.waitFor('message')
    former.kill('SIGTERM')
    await exitOf(former)
    await until('lists are written', async () => (await redis.exists(keys.inboxFormat())) === 1)
  })

  it('one that comes when lists are written is told of, serves nobody who has one, and loses nothing', async () => {
    await using release = await extractFormerRelease()
    await using cluster = await TestCluster.start({ env: { IM_LEASE_MS: '1000' } })
    const current = await cluster.startGateway('gw-0')
    await using bob = await RawClient.login(current, { user: 'bob' })
    await using alice = await RawClient.login(current, { user: 'alice' })
    await alice.send('bob', 'one')
    const late = await cluster.startGateway('gw-1', {}, { root: release.root })
    await using carol = await RawClient.login(late, { user: 'carol' })
    assert.equal((await carol.send('bob', 'refused')).type, 'error')
    await assert.rejects(RawClient.login(late, { user: 'bob', imei: 'other' }))
    assert.equal((await alice.send('bob', 'two')).type, 'accepted')
    assert.equal((await alice.send('carol', 'for a user of its own')).type, 'accepted')
    const troubled = (wanted: number) => async () => (await metric(current, 'im_trouble', 'FormerGateway')) === wanted
    await until('it is told', troubled(1))
    late.kill('SIGTERM')
    await exitOf(late)
    await until('it is over', troubled(0))
    await bob.waitFor('message', ({ seq }) => seq === 2)
    assert.deepEqual(bob.texts, ['one', 'two'])
    await using again = await RawClient.login(current, { user: 'carol' })
    await again.waitFor('message')
    assert.deepEqual(again.texts, ['for a user of its own'])
  })

  it('and Redis is restarted, with all that it had: no message is lost at devices of either', async () => {
    await using release = await extractFormerRelease()
    await using cluster = await TestCluster.start({ env })
    const former = await cluster.startGateway('gw-0', {}, { root: release.root })
    const current = await cluster.startGateway('gw-1')
    await using old = await Device.open([former], { user: 'bob', imei: 'old' })
    await using young = await Device.open([current], { user: 'bob', imei: 'young' })
    await using alice = await Device.open([former], { user: 'alice', imei: 'old' })
    await using carol = await Device.open([current], { user: 'carol', imei: 'young' })
    const accepted: Sent[] = []
    for (let round = 1; round <= 3; round += 1) {
      for (const sender of [alice, carol, alice]) accepted.push(...(await sendEach(sender, 'bob', [`round ${round}`])))
      await cluster.redis.stop('SIGKILL')
      await cluster.redis.start()
    }
    accepted.push(...(await sendEach(alice, 'bob', ['last'])))
    const wanted = accepted.map(({ messageId }) => messageId)
    const idsOf = ({ received }: Device) => [...new Set(received.map(({ messageId }) => messageId))]
    for (const device of [old, young]) {
      await until(`${device.name} has the last`, () => device.texts.at(-1) === 'last')
      assert.deepEqual(idsOf(device), wanted, `${device.name} got each message, in order`)
      assert.deepEqual(device.disconnections, [])
    }
    // What the former release appended since the restart may have taken the place of something lost: it may come again, and is told.
    for (const { reason } of young.gaps) assert.equal(reason, 'reset')
  })

  for (const [where, senderAt] of [
    ['the former', 'gw-0'],
    ['this', 'gw-1'],
  ] as const) {
    it(`and Redis lost its newest messages: devices are told, and get what comes by ${where} release once`, async () => {
      await using release = await extractFormerRelease()
      await using cluster = await TestCluster.start({ env, persistent: false })
      const former = await cluster.startGateway('gw-0', {}, { root: release.root })
      const current = await cluster.startGateway('gw-1')
      await using old = await Device.open([former], { user: 'bob', imei: 'old' })
      await using young = await Device.open([current], { user: 'bob', imei: 'young' })
      await using alice = await Device.open([cluster.gateway(senderAt)], { user: 'alice' })
      await sendEach(alice, 'bob', five('kept'))
      await cluster.save()
      const lost = await sendEach(alice, 'bob', five('lost'))
      for (const device of [old, young]) await device.has(lost)
      await cluster.rollBack()
      // Whichever gateway notices first; the former release begins an epoch that has nothing in common with any other.
      for (const device of [old, young]) await until(`${device.name} is told`, () => device.gaps.length > 0)
      await sendEach(alice, 'bob', five('new'))
      for (const device of [old, young]) {
        await until(`${device.name} has the last`, () => device.texts.at(-1) === 'new 5')
        const fresh = device.texts.filter((text) => text.startsWith('new'))
        assert.deepEqual(fresh, five('new'), device.name)
        assert.ok(device.gaps.every(({ reason }) => reason === 'reset'))
        assert.deepEqual(device.disconnections, [])
      }
    })
  }
})
