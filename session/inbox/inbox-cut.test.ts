import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startRedis, type RedisServer } from '../../test/kit/servers/redis-server.ts'
import { agreedSeq } from './epoch.ts'
import { Inbox, type InboxOptions } from './inbox.ts'
import { readReplids, type RedisClient } from '../redis/redis.ts'
import { resume } from './stream-state.ts'
import { freshKeys, openRedis } from '../test-kit.ts'

// What is saved to disk here is saved by SAVE alone: a start after a kill sets the data back to that.
const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const to = { appId: 1, userId: 'bob' }
const device = { clientType: 1, imei: 'phone' }

const streams = { format: { writesLists: false } }

function setUp(on: RedisClient = redis, options: InboxOptions = {}) {
  const keys = freshKeys()
  const inbox = new Inbox(on, keys, options)
  let count = 0
  const append = (messageId = `m${++count}`) =>
    inbox.append({ to, from: 'alice', clientType: 1, messageId, payload: Buffer.from(messageId) })
  const appendMany = async (many: number) => {
    const appended = []
    for (let at = 0; at < many; at++) appended.push(await append())
    return appended
  }
  const idsAfter = async (seq: number) => (await inbox.read(to, seq)).messages.map(({ messageId }) => messageId)
  return { keys, inbox, append, appendMany, idsAfter }
}

/** Kills the server and starts it with what was saved last. */
async function setBack(on: RedisServer = server, through: RedisClient = redis): Promise<void> {
  await on.stop('SIGKILL')
  await on.start()
  await ready(through)
}

async function ready(through: RedisClient): Promise<void> {
  for (let patience = 400; patience > 0; patience--) {
    if ((await through.ping().catch(() => '')) === 'PONG') return
    await delay(25)
  }
  throw new Error('Redis does not answer')
}

test('what was cut off and what comes instead have different epochs, which agree up to the cut', async () => {
  const { inbox, appendMany, append, idsAfter } = setUp()
  await appendMany(5)
  await redis.save()
  const lost = (await appendMany(5)).at(-1) ?? assert.fail()
  await setBack()
  const next = await append('new')
  assert.equal(next.seq, 6)
  assert.equal(agreedSeq(next.epoch, lost.epoch), 5)
  const page = await inbox.read(to, 0)
  assert.deepEqual([page.epoch, page.head], [next.epoch, 6])
  // A device that is beyond the cut gets all that is new, and nothing that it has.
  assert.deepEqual(resume(page, lost), { seq: 5, lost: true })
  assert.deepEqual(await idsAfter(5), ['new'])
  assert.deepEqual(resume(page, { epoch: lost.epoch, seq: 4 }), { seq: 4, lost: false })
  assert.deepEqual(resume(page, { epoch: lost.epoch, seq: 5 }), { seq: 5, lost: false })
})

test('a reader finds the cut before anything is appended, and no epoch changes without one', async () => {
  const { inbox, appendMany, append } = setUp()
  await appendMany(2)
  await redis.save()
  await append()
  const before = await inbox.read(to, 0)
  assert.deepEqual(await inbox.read(to, 0), before)
  await setBack()
  const after = await inbox.read(to, 0)
  assert.deepEqual([after.head, agreedSeq(before.epoch, after.epoch)], [2, 2])
  assert.equal((await append()).epoch, after.epoch)
  assert.equal((await inbox.read(to, 0)).epoch, after.epoch)
})

test('two cuts back to the same save: each branch is told from every other', async () => {
  const { inbox, appendMany } = setUp()
  await appendMany(3)
  await redis.save()
  const ends = []
  for (let cut = 0; cut < 3; cut++) {
    ends.push((await appendMany(2)).at(-1) ?? assert.fail())
    await setBack()
  }
  const state = await inbox.read(to, 0)
  for (const { epoch, seq } of ends) {
    assert.equal(seq, 5)
    assert.deepEqual(resume(state, { epoch, seq }), { seq: 3, lost: true })
    assert.deepEqual(resume(state, { epoch, seq: 3 }), { seq: 3, lost: false })
  }
})

test('an epoch stays short however often Redis is restarted', async () => {
  const { inbox, append } = setUp()
  const { epoch: first } = await append()
  for (let restart = 0; restart < 3; restart++) {
    await redis.save()
    await setBack()
    await inbox.read(to, 0)
  }
  const { epoch } = await inbox.read(to, 0)
  assert.equal(epoch.split('~').length, 2, 'a cut at the same place takes the former one back')
  assert.equal(agreedSeq(epoch, first), 1)
  let last = epoch
  for (let restart = 0; restart < 9; restart++) {
    last = (await append()).epoch
    await redis.save()
    await setBack()
  }
  const page = await inbox.read(to, 0)
  assert.ok(page.epoch.length <= 150, page.epoch)
  assert.equal(agreedSeq(page.epoch, last), page.head)
  assert.deepEqual(resume(page, { epoch: first, seq: 1 }), { seq: 0, lost: true }, 'the oldest are forgotten')
})

test('a retry of a message that was lost is stored; one of a message that is left is a duplicate', async () => {
  const { append, idsAfter } = setUp()
  const kept = await append('kept')
  await redis.save()
  await append('lost')
  await setBack()
  const again = await append('kept')
  assert.deepEqual([again.seq, again.duplicate], [kept.seq, true])
  assert.notEqual(again.epoch, kept.epoch, 'it is pushed under the name that the stream has now')
  const stored = await append('lost')
  assert.deepEqual([stored.seq, stored.duplicate], [2, false])
  assert.deepEqual(await idsAfter(0), ['kept', 'lost'])
})

test('a retry is stored when the record of the first one is there and its message is not', async () => {
  const { append, keys, idsAfter } = setUp()
  await append('lost')
  // Evicted, or deleted by hand.
  await redis.del(keys.inbox(to), keys.inboxMeta(to))
  assert.equal((await append('lost')).duplicate, false)
  assert.deepEqual(await idsAfter(0), ['lost'])
})

test('an acknowledgement that was under way counts as far as the histories agree', async () => {
  const { inbox, append, appendMany, keys } = setUp()
  await appendMany(3)
  await redis.save()
  const { epoch } = (await appendMany(3)).at(-1) ?? assert.fail()
  await setBack()
  const next = await append()
  const save = async (seq: number) => {
    await inbox.saveCursors([{ user: to, device, epoch, seq }])
    return redis.hget(keys.cursors(to), '1:phone')
  }
  assert.equal(await save(2), `${next.epoch}:2`)
  assert.equal(await save(6), `${next.epoch}:3`)
})

test('a stream of a release that noted no replication id goes on, and is forked after the next cut', async () => {
  await using own = await startRedis({ persistent: false })
  await using client = await openRedis(own.url)
  const { inbox, appendMany, append, keys } = setUp(client.redis, streams)
  const { epoch } = (await appendMany(2)).at(-1) ?? assert.fail()
  await client.redis.hdel(keys.inboxMeta(to), 'replid')
  assert.equal((await append()).epoch, epoch)
  await client.redis.hdel(keys.inboxMeta(to), 'replid')
  await client.redis.save()
  await setBack(own, client.redis)
  const after = await inbox.read(to, 0)
  assert.equal(agreedSeq(after.epoch, epoch), 3)
  assert.notEqual(after.epoch, epoch)
})

test('what 0.2.0 appends after a cut, beside us in a rolling update, is new to a device that is beyond the cut', async () => {
  const { inbox, appendMany, append, idsAfter, keys } = setUp(redis, streams)
  await appendMany(5)
  await redis.save()
  const lost = (await appendMany(5)).at(-1) ?? assert.fail()
  await setBack()
  // As its script did: it knows of no replication id.
  for (const seq of [6, 7]) {
    await redis.xadd(
      keys.inboxStream(to),
      `${seq}-0`,
      'f',
      'alice',
      'c',
      1,
      'm',
      `old ${seq}`,
      't',
      Date.now(),
      'p',
      'x',
    )
    await redis.hset(keys.inboxMeta(to), 'seq', seq)
  }
  assert.equal((await append('new')).seq, 8)
  assert.deepEqual(resume(await inbox.read(to, 0), lost), { seq: 5, lost: true })
  assert.deepEqual(await idsAfter(5), ['old 6', 'old 7', 'new'])
})

test('a primary that was demoted, set back and promoted again is another one, though its process went on', async () => {
  const [first, second] = await Promise.all([startRedis({ persistent: false }), startRedis({ persistent: false })])
  await using a = await openRedis(first.url)
  await using b = await openRedis(second.url)
  try {
    const { inbox, appendMany, append } = setUp(a.redis)
    await appendMany(2)
    const [replid] = await readReplids(a.redis)
    for (const { redis } of [a, b]) await redis.config('SET', 'repl-diskless-sync-delay', '0')
    await b.redis.replicaof('127.0.0.1', first.port)
    for (let patience = 400; !(await b.redis.info('replication')).includes('master_link_status:up'); patience--) {
      assert.ok(patience > 0, 'the replica does not connect')
      await delay(25)
    }
    await a.redis.wait(1, 5_000)
    // From here on only the first one hears of what is appended.
    await b.redis.replicaof('NO', 'ONE')
    const lost = (await appendMany(2)).at(-1) ?? assert.fail()
    await a.redis.replicaof('127.0.0.1', second.port)
    for (let patience = 400; !(await a.redis.info('replication')).includes('master_link_status:up'); patience--) {
      assert.ok(patience > 0, 'the former primary does not follow')
      await delay(25)
    }
    await a.redis.replicaof('NO', 'ONE')
    const next = await append('new')
    assert.equal(next.seq, 3)
    assert.equal(agreedSeq(next.epoch, lost.epoch), 2)
    assert.deepEqual(resume(await inbox.read(to, 0), lost), { seq: 2, lost: true })
    assert.notDeepEqual(await readReplids(a.redis), [replid])
  } finally {
    await first[Symbol.asyncDispose]()
    await second[Symbol.asyncDispose]()
  }
})
