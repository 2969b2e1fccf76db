import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startRedis } from '../test/kit/servers/redis-server.ts'
import { devicePolicies } from './device-policy.ts'
import { Directory, type LoginResult } from './directory.ts'
import { Inbox } from './inbox/inbox.ts'
import { deviceField, indexMember } from './keys.ts'
import { parseIncarnation } from './brokers/broker.ts'
import { createDraft, createIncarnation, freshKeys, openRedis } from './test-kit.ts'
import type { UserSession } from './user-session.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

/** Less than what nobody uses any more stays. */
const LONG_MS = 80 * 24 * 3600_000
const user = { appId: 1, userId: 'alice' }
const phone = { clientType: 2, imei: 'phone' }

function setUp(policy: ConstructorParameters<typeof Directory>[2] = devicePolicies.unlimited) {
  const keys = freshKeys()
  const garbage: unknown[] = []
  const directory = new Directory(redis, keys, policy, { onGarbage: (error) => garbage.push(error) })
  const incarnation = createIncarnation()
  const stored = () => redis.hgetall(keys.sessions(user))
  const indexed = ({ brokerId, incarnation }: UserSession) =>
    redis.smembers(keys.index(brokerId, parseIncarnation(incarnation).bootId))
  return { keys, directory, incarnation, garbage, stored, indexed, inbox: new Inbox(redis, keys) }
}

test('a login is stored as the design says, indexed, and told of the inbox', async () => {
  const { keys, directory, incarnation, stored, indexed } = setUp()
  const before = Date.now()
  const draft = createDraft({}, incarnation)
  const { session, ...rest } = await directory.login(draft)
  assert.deepEqual(rest.displaced, [])
  assert.deepEqual(rest.others, [])
  assert.equal('replaced' in rest, false)
  assert.equal('cursor' in rest, false)
  assert.deepEqual({ head: rest.inbox.head, earliest: rest.inbox.earliest }, { head: 0, earliest: 1 })
  assert.match(rest.inbox.epoch, /^[\w-]{12}$/)
  assert.ok(session.loginAt >= before - 1 && session.loginAt <= Date.now() + 1)
  assert.deepEqual(JSON.parse((await stored())['1:browser'] ?? ''), {
    ...draft,
    connectState: 1,
    loginAt: session.loginAt,
  })
  assert.deepEqual(await indexed(session), ['1:alice:1:browser'])
  assert.deepEqual(await directory.sessionsOf([user, { appId: 1, userId: 'bob' }]), [[session], []])
  const second = await directory.login({ ...draft, ...phone, connectionId: 'c2' })
  assert.equal(second.inbox.epoch, rest.inbox.epoch)
  assert.deepEqual(second.others, [session])
  assert.ok(await redis.pttl(keys.inboxMeta(user)))
})

test('the inbox and the stored cursor come with the login', async () => {
  const { directory, incarnation, inbox } = setUp()
  const message = { to: user, from: 'bob', clientType: 1, payload: new Uint8Array() }
  for (const messageId of ['1', '2', '3']) await inbox.append({ ...message, messageId })
  const { epoch } = await inbox.read(user, 0)
  await inbox.saveCursors([{ user, device: phone, epoch, seq: 2 }])
  const phoneLogin = await directory.login(createDraft(phone, incarnation))
  assert.deepEqual(phoneLogin.inbox, { epoch, head: 3, earliest: 1 })
  assert.deepEqual(phoneLogin.cursor, { epoch, seq: 2 })
  assert.equal((await directory.login(createDraft({}, incarnation))).cursor, undefined)
})

test('the same device again replaces its session; a displaced one leaves', async () => {
  const { directory, stored } = setUp(devicePolicies.dual)
  const first = await directory.login(createDraft(phone))
  const again = await directory.login(createDraft(phone))
  assert.deepEqual(again.replaced, first.session)
  assert.deepEqual([again.displaced, again.others], [[], []])
  assert.ok(again.session.loginAt > first.session.loginAt)
  const browser = await directory.login(createDraft())
  assert.deepEqual(browser.others, [again.session])
  const desktop = await directory.login(createDraft({ clientType: 5, imei: 'mac' }))
  assert.deepEqual(desktop.displaced, [again.session])
  assert.deepEqual(desktop.others, [browser.session])
  assert.deepEqual(Object.keys(await stored()).toSorted(), ['1:browser', '5:mac'])
})

test('a login repeated after a lost answer does not replace itself', async () => {
  const { directory } = setUp(devicePolicies.single)
  const draft = createDraft()
  const first = await directory.login(draft)
  const { replaced, displaced, session } = await directory.login(draft)
  assert.deepEqual([replaced, displaced], [undefined, []])
  assert.ok(session.loginAt > first.session.loginAt)
})

test('loginAt rises even when the clock of Redis went back', async () => {
  const { keys, directory } = setUp()
  const { session } = await directory.login(createDraft(phone))
  const future = { ...session, loginAt: session.loginAt + 3600_000 }
  await redis.hset(keys.sessions(user), deviceField(phone), JSON.stringify(future))
  assert.equal((await directory.login(createDraft())).session.loginAt, future.loginAt + 1)
})

test('garbage among the sessions is counted and keeps nobody from logging in', async () => {
  const { keys, directory, garbage } = setUp(devicePolicies.single)
  const other = (await directory.login(createDraft(phone))).session
  const strange = { a: 'x', '1:browser': '{}', '2:liar': JSON.stringify(other) }
  await redis.hset(keys.sessions(user), strange)
  const { session, displaced } = await directory.login(createDraft())
  assert.deepEqual(displaced, [other])
  assert.equal(garbage.length, 3)
  assert.deepEqual((await directory.sessionsOf([user]))[0]?.length, 2)
  assert.deepEqual((await directory.verify([{ user, sessions: [session] }]))[0]?.stale, [])
})

test('an index that Redis lost between the two steps of a login is written again', async () => {
  const { directory, indexed, keys } = setUp()
  const { session } = await directory.login(createDraft())
  await redis.del(keys.index(session.brokerId, session.incarnation.split('/').at(-1) ?? ''))
  assert.deepEqual(await indexed(session), [])
  await directory.reindex([session])
  assert.deepEqual(await indexed(session), [indexMember(user, session)])
})

test('only the connection that a session names takes it offline or removes it', async () => {
  const { directory, stored, indexed, keys } = setUp()
  const incarnation = createIncarnation()
  const old = (await directory.login(createDraft({}, incarnation))).session
  const { session } = await directory.login(createDraft({}, incarnation))
  assert.equal(await directory.setOffline(old), false)
  assert.equal(await directory.remove(old), false)
  assert.deepEqual(await indexed(session), [indexMember(user, session)], 'the newer connection stays indexed')
  assert.equal(await directory.setOffline(session), true)
  assert.equal(JSON.parse((await stored())['1:browser'] ?? '').connectState, 2)
  assert.deepEqual(await indexed(session), [indexMember(user, session)], 'offline stays indexed')
  assert.deepEqual(await directory.sessionsOf([user]), [[]])
  assert.ok((await redis.pttl(keys.sessions(user))) > 0, 'offline sessions end with their retention')
  const back = (await directory.login(createDraft({}, incarnation))).session
  assert.ok((await redis.pttl(keys.sessions(user))) > LONG_MS, 'a login makes them stay')
  const other = (await directory.login(createDraft(phone, incarnation))).session
  assert.equal(await directory.setOffline(other), true)
  assert.ok((await redis.pttl(keys.sessions(user))) > LONG_MS, 'and nothing expires soon while a device is online')
  await directory.remove(other)
  assert.equal(await directory.remove(back), true)
  assert.deepEqual([await stored(), await indexed(back)], [{}, []])
})

test('a session that another broker took over is unindexed at its former broker alone', async () => {
  const { directory, stored, indexed } = setUp()
  const old = (await directory.login(createDraft())).session
  const { session } = await directory.login(createDraft())
  assert.equal(await directory.remove(old), false)
  assert.deepEqual([await indexed(old), await indexed(session)], [[], [indexMember(user, session)]])
  assert.equal(Object.keys(await stored()).length, 1)
})

test('logins and ends of connections of one device, all at once, leave the last one stored and indexed (I1)', async () => {
  const { directory, incarnation, stored, indexed } = setUp()
  for (let round = 0; round < 20; round++) {
    const former = (await directory.login(createDraft({}, incarnation))).session
    const [, { session }] = await Promise.all([directory.remove(former), directory.login(createDraft({}, incarnation))])
    assert.equal(JSON.parse((await stored())['1:browser'] ?? '').connectionId, session.connectionId)
    assert.deepEqual(await indexed(session), [indexMember(user, session)])
  }
})

test('what an index names and nobody holds is given back to be ended, or is indexed no more', async () => {
  const { directory, incarnation, stored, indexed } = setUp()
  const { session: ghost } = await directory.login(createDraft({}, incarnation))
  const { session: moved } = await directory.login(createDraft({ ...phone }, incarnation))
  const { session: elsewhere } = await directory.login(createDraft(phone, createIncarnation('im-1')))
  const page = await directory.readIndex(ghost, '0', 100)
  assert.equal(page.cursor, '0')
  assert.equal(await directory.countIndexed(ghost), 2)
  const found = await Promise.all(page.entries.map((entry) => directory.reclaim(ghost, entry, () => false)))
  assert.deepEqual(
    found.filter((session) => session !== undefined),
    [ghost],
  )
  assert.deepEqual(await indexed(moved), [indexMember(user, ghost)])
  assert.deepEqual(await indexed(elsewhere), [indexMember(user, elsewhere)])
  assert.equal(Object.keys(await stored()).length, 2, 'no session was touched')
})

test('a device that logs in while its index entry is looked at stays indexed (I1)', async () => {
  const { directory, incarnation, indexed, keys } = setUp()
  const draft = createDraft({}, incarnation)
  for (let round = 0; round < 20; round++) {
    // Indexed, with no session: as after a login of which Redis lost the second half.
    await redis.sadd(keys.index(incarnation.brokerId, incarnation.bootId), indexMember(user, draft))
    await redis.del(keys.sessions(user))
    let held = false
    const entry = { user, device: draft }
    const reclaimed = directory.reclaim(draft, entry, () => held)
    // As at a gateway: who logs in counts as held before the directory hears of it.
    held = true
    const [, { session }] = await Promise.all([reclaimed, directory.login(draft)])
    assert.deepEqual(await indexed(session), [indexMember(user, draft)])
    await Promise.all([directory.login(draft), directory.reclaim(draft, entry, () => held)])
    assert.deepEqual(await indexed(session), [indexMember(user, draft)])
  }
})

test('after Redis was flushed sessions are written again under their own loginAt (I3)', async () => {
  const { keys, directory, stored, indexed } = setUp(devicePolicies.dual)
  const mine = (await directory.login(createDraft(phone))).session
  const browser = (await directory.login(createDraft())).session
  await redis.del(keys.sessions(user), keys.index(mine.brokerId, parseIncarnation(mine.incarnation).bootId))
  assert.deepEqual((await directory.verify([{ user, sessions: [mine, browser] }]))[0]?.stale, [mine, browser])
  assert.deepEqual(await directory.reassert(browser), { kept: true, session: browser, displaced: [], crowdedOut: [] })
  assert.deepEqual(await directory.reassert(mine), { kept: true, session: mine, displaced: [], crowdedOut: [] })
  assert.deepEqual((await directory.verify([{ user, sessions: [mine, browser] }]))[0]?.stale, [])
  assert.equal(Object.keys(await stored()).length, 2)
  assert.deepEqual(await indexed(mine), [indexMember(user, mine)])
})

test('a lost session gives way to a newer one, and an older one to it', async () => {
  const { keys, directory } = setUp(devicePolicies.single)
  const [older, mine] = [
    (await directory.login(createDraft(phone))).session,
    (await directory.login(createDraft())).session,
  ]
  await redis.del(keys.sessions(user))
  assert.equal((await directory.reassert(older)).kept, true)
  assert.deepEqual(await directory.reassert(mine), { kept: true, session: mine, displaced: [older], crowdedOut: [] })
  assert.deepEqual(await directory.reassert(older), { kept: false, by: mine, reason: 'displaced', crowdedOut: false })
  const again = (await directory.login(createDraft())).session
  assert.deepEqual(await directory.reassert(mine), { kept: false, by: again, reason: 'replaced', crowdedOut: false })
  assert.deepEqual(await directory.sessionsOf([user]), [[again]])
})

test('verify compares heads and sessions of many users at once', async () => {
  const { directory, inbox } = setUp()
  const bob = { appId: 1, userId: 'bob' }
  const carol = { appId: 1, userId: 'carol' }
  const [mine, his] = [await directory.login(createDraft()), await directory.login(createDraft(bob))]
  const gone = (await directory.login(createDraft({ ...bob, ...phone }))).session
  await directory.setOffline(gone)
  await inbox.append({ to: bob, from: 'alice', clientType: 1, messageId: 'm', payload: new Uint8Array(3) })
  const results = await directory.verify([
    { user, sessions: [{ ...mine.session, connectionId: 'other' }] },
    { user: bob, sessions: [his.session, gone] },
    { user: carol, sessions: [] },
  ])
  assert.deepEqual(results, [
    { inbox: mine.inbox, stale: [{ ...mine.session, connectionId: 'other' }] },
    { inbox: { epoch: his.inbox.epoch, head: 1, earliest: 1 }, stale: [gone] },
    { inbox: undefined, stale: [] },
  ])
  assert.deepEqual(await directory.verify([]), [])
})

test('ids made to break keys, fields and members stay apart', async () => {
  const { keys, directory } = setUp(devicePolicies.single)
  const ids = [
    '}',
    '{',
    ':',
    'a}:sessions',
    '1:alice',
    'a:g:b',
    '%7D',
    ' ',
    '\n',
    'ü{}',
    '"',
    "'",
    '\\',
    '*',
    '?',
    '../x',
  ]
  const logins: LoginResult[] = []
  for (const id of ids) logins.push(await directory.login(createDraft({ userId: id, imei: id })))
  assert.ok(logins.every(({ displaced, replaced }) => displaced.length === 0 && !replaced))
  const users = ids.map((userId) => ({ appId: 1, userId }))
  const expected = logins.map(({ session }) => [session])
  assert.deepEqual(await directory.sessionsOf(users), expected)
  assert.equal(new Set(users.map((of) => keys.sessions(of))).size, ids.length)
})

test('a client that invents an imei each time does not fill the hash', async () => {
  const { directory, stored } = setUp()
  for (let at = 0; at < 70; at++) {
    await directory.setOffline((await directory.login(createDraft({ imei: `imei-${at}` }))).session)
  }
  const fields = Object.keys(await stored())
  assert.equal(fields.length, 64)
  assert.ok(fields.includes('1:imei-69') && !fields.includes('1:imei-0'))
})

test('who may not come back because the user has as many devices as one may have is told apart', async () => {
  for (const [maxDevices, classes, crowdedOut] of [
    [1, [], true],
    [64, devicePolicies.single.classes, false],
  ] as const) {
    const keys = freshKeys()
    const directory = new Directory(redis, keys, { classes, maxDevices })
    const { session } = await directory.login(createDraft({ imei: 'old' }))
    const { session: by, ...result } = await directory.login(createDraft({ imei: 'new' }))
    assert.deepEqual([result.displaced, result.crowdedOut], [[session], crowdedOut ? [session] : []])
    assert.deepEqual(await directory.reassert(session), { kept: false, by, reason: 'displaced', crowdedOut })
  }
})
