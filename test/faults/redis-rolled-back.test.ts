import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Device, sendEach } from '../kit/device.ts'
import { RawClient } from '../kit/raw-login.ts'
import { assertHeard, assertStory, five, numbered } from '../kit/story.ts'
import { exitOf, TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

const gateways = ['gw-0', 'gw-1']
/** So that gateways that are stopped together, and those that come after them, need not wait long. */
const env = { IM_LEASE_MS: '1000', IM_DRAIN_DEADLINE_MS: '500', IM_DRAIN_JITTER_MS: '0' }
const [kept, lost, between, fresh] = [five('kept'), five('lost'), five('between'), five('new')]

describe('after Redis lost its newest messages', () => {
  it('a sender’s retry of a lost message is stored, one of a kept message is a duplicate', async () => {
    await using cluster = await TestCluster.start({ gateways, persistent: false })
    const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
    await using sender = await RawClient.login(first, { user: 'alice' })
    await using alice = await Device.open([first], { user: 'alice', imei: 'phone' })
    await using bob = await RawClient.login(second, { user: 'bob' })
    const send = async (text: string) => {
      const frame = sender.buildSend('bob', text)
      sender.write(frame)
      const answer = await sender.answerTo(frame.requestId)
      assert.equal(answer.type, 'accepted')
      return frame
    }
    const keptFrame = await send('kept')
    await cluster.save()
    const lostFrame = await send('lost')
    await bob.waitFor('message', ({ seq }) => seq === 2)
    await cluster.rollBack()
    // By then the gateway is back at Redis; and a number that was given before is given again.
    await sendEach(alice, 'bob', ['new'])

    const answers: unknown[] = []
    for (const [at, frame] of [keptFrame, lostFrame, lostFrame].entries()) {
      const requestId = 1000 + at
      sender.write({ ...frame, requestId })
      const answer = await sender.answerTo(requestId)
      answers.push(answer.type === 'accepted' ? [answer.seq, answer.duplicate] : answer.code)
    }
    assert.deepEqual(answers, [
      [1, true],
      [3, false],
      [3, true],
    ])
    await assertStory(bob, ['1 kept', '2 lost', 'reset 1', '2 new', '3 lost'])
    await using returned = await RawClient.login(first, { user: 'bob', imei: 'new here' })
    await assertStory(returned, ['1 kept', '2 new', '3 lost'])
  })
})

for (const hidden of [false, true]) {
  describe(`Redis went back to the same save twice${hidden ? ', hidden by a proxy' : ''}`, () => {
    it('a device of any branch is told, and gets all that is new, nothing twice', async () => {
      await using cluster = await TestCluster.start({ gateways, persistent: false, hidden })
      const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
      await using alice = await Device.open([first], { user: 'alice' })
      await using phone = await Device.open([second], { user: 'bob', imei: 'phone' })
      await using web = await RawClient.login(second, { user: 'bob', imei: 'web' })
      const trunk = web.framesOf('loggedIn')[0]?.epoch ?? ''
      await sendEach(alice, 'bob', kept)
      await cluster.save()
      await phone.has(await sendEach(alice, 'bob', lost))
      await web.waitFor('message', ({ seq }) => seq === 10)

      await cluster.rollBack()
      await sendEach(alice, 'bob', between)
      await assertHeard(phone, [...kept, ...lost, ...between], [5])
      await until('the other device has them too', () => web.texts.at(-1) === between.at(-1))
      const middle = phone.client.cursor
      assert.equal(middle?.seq, 10)
      await cluster.rollBack()
      await sendEach(alice, 'bob', fresh)

      const login = (imei: string, epoch: string, seq: number) =>
        RawClient.retryLogin(first, { user: 'bob', imei, cursor: { epoch, seq } })
      const missed: [RawClient, string[]][] = [
        [await login('first branch', trunk, 10), ['reset 5']],
        [await login('branch between', middle.epoch, 10), ['reset 5']],
        [await login('branch between, early', middle.epoch, 6), ['reset 5']],
        [await login('trunk', trunk, 5), []],
        [await login('trunk, early', trunk, 4), ['5 kept 5']],
      ]
      await using early = await login('branch between, before the cut', middle.epoch, 3)
      await alice.client.send('bob', 'last')
      for (const [device, before] of missed) {
        await assertStory(device, [...before, ...numbered(6, [...fresh, 'last'])])
        await device[Symbol.asyncDispose]()
      }
      // Redis no longer knows what that branch had in common with this one; nothing is missing or repeated all the same.
      await early.waitFor('message', ({ seq }) => seq === 11)
      assert.deepEqual(early.texts, ['kept 4', 'kept 5', ...fresh, 'last'])
      await assertHeard(phone, [...kept, ...lost, ...between, ...fresh, 'last'], [5, 5])
      await assertStory(web, [
        ...numbered(1, [...kept, ...lost]),
        'reset 5',
        ...numbered(6, between),
        'reset 5',
        ...numbered(6, [...fresh, 'last']),
      ])
    })
  })
}

describe('a backup of Redis is restored while the gateways are stopped', () => {
  it('devices ahead of it are told and get what is new; nothing is left of sessions in the backup', async () => {
    await using cluster = await TestCluster.start({ gateways, persistent: false, env })
    const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
    await using alice = await Device.open([first, second], { user: 'alice' })
    await using phone = await Device.open([second, first], { user: 'bob', imei: 'phone' })
    await using web = await RawClient.login(second, { user: 'bob', imei: 'web' })
    const epoch = web.framesOf('loggedIn')[0]?.epoch ?? ''
    await sendEach(alice, 'bob', kept)
    await cluster.save()
    await phone.has(await sendEach(alice, 'bob', lost))

    for (const gateway of cluster.gateways) gateway.kill('SIGTERM')
    for (const gateway of cluster.gateways) await exitOf(gateway)
    await cluster.rollBack()
    assert.ok((await cluster.store.sessionsOf('bob')).length > 0, 'the backup has sessions')
    await Promise.all(gateways.map((brokerId) => cluster.startGateway(brokerId)))
    // Bob comes back when the numbers that he knows have been given again.
    await using carol = await Device.open([cluster.gateway('gw-0')], { user: 'carol' })
    await sendEach(carol, 'bob', fresh)
    await using beyond = await RawClient.login(cluster.gateway('gw-0'), {
      user: 'bob',
      imei: 'beyond',
      cursor: { epoch, seq: 10 },
    })
    await using before = await RawClient.login(cluster.gateway('gw-0'), {
      user: 'bob',
      imei: 'before',
      cursor: { epoch, seq: 4 },
    })
    await carol.client.send('bob', 'last')
    await assertStory(beyond, ['reset 5', ...numbered(6, [...fresh, 'last'])])
    await assertStory(before, ['5 kept 5', ...numbered(6, [...fresh, 'last'])])
    await assertHeard(phone, [...kept, ...lost, ...fresh, 'last'], [5])
    await until('only living sessions are left', async () => {
      const stored = (await cluster.store.sessions()).filter(({ connectState }) => connectState === 1)
      assert.deepEqual(
        stored.map(({ connectionId }) => connectionId).toSorted(),
        [alice, phone, carol, beyond, before].map(({ connectionId }) => connectionId).toSorted(),
      )
      return true
    })
  })
})
