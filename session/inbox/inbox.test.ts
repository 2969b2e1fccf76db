import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { devicePolicies } from '../device-policy.ts'
import { Directory } from '../directory.ts'
import { Inbox, type Appended, type InboxOptions } from './inbox.ts'
import { createDraft, freshKeys, openRedis } from '../test-kit.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const to = { appId: 1, userId: 'alice' }
const device = { clientType: 1, imei: 'browser' }
const text = (value: string) => new TextEncoder().encode(value)

function setUp(options?: InboxOptions) {
  const keys = freshKeys()
  const inbox = new Inbox(redis, keys, options)
  let count = 0
  const append = (payload = text('hi'), messageId = `m${++count}`) =>
    inbox.append({ to, from: 'bob', clientType: 2, messageId, payload })
  const seqs = async (after = 0) => (await inbox.read(to, after)).messages.map(({ seq }) => seq)
  return { keys, inbox, append, seqs, directory: new Directory(redis, keys, devicePolicies.unlimited) }
}

test('messages get consecutive numbers and come back byte for byte', async () => {
  const { inbox, append } = setUp()
  const payloads = [text(''), text('hällo'), Uint8Array.of(0, 255, 13, 10, 0x80), randomBytes(70_000)]
  const sent = []
  for (const payload of payloads) sent.push(await append(payload))
  assert.deepEqual(
    sent.map(({ seq, duplicate }) => [seq, duplicate]),
    [1, 2, 3, 4].map((seq) => [seq, false]),
  )
  const { messages, epoch, head, earliest } = await inbox.read(to, 0)
  assert.deepEqual([epoch, head, earliest], [sent[0]?.epoch, 4, 1])
  assert.deepEqual(
    messages.map(({ payload }) => Buffer.from(payload).toString('hex')),
    payloads.map((payload) => Buffer.from(payload).toString('hex')),
  )
  const { payload: _, ...second } = messages[1] ?? assert.fail()
  assert.deepEqual(second, { seq: 2, from: 'bob', clientType: 2, messageId: 'm2', sentAt: sent[1]?.sentAt })
})

test('a payload that is a part of a larger buffer is stored alone', async () => {
  const { inbox, append } = setUp()
  await append(text('[secret|shown|secret]').subarray(8, 13))
  assert.equal(Buffer.from((await inbox.read(to, 0)).messages[0]?.payload ?? []).toString(), 'shown')
})

test('an append says where to push: the brokers of sessions that are online, each once', async () => {
  const { append, directory } = setUp()
  const found = async () => (await append()).brokers.map(({ brokerId, incarnation }) => `${brokerId}/${incarnation}`)
  const login = async (imei: string, brokerId: string) =>
    (
      await directory.login(
        createDraft({ imei, version: '","brokerId":"im-8', brokerId, incarnation: `pod/${brokerId}-boot` }),
      )
    ).session
  assert.deepEqual(await found(), [])
  for (const imei of ['a', 'b']) await login(imei, 'im-1')
  await directory.setOffline(await login('c', 'im-2'))
  assert.deepEqual(await found(), ['im-1/im-1-boot'])
  await login('d', 'im-10')
  assert.deepEqual((await found()).toSorted(), ['im-1/im-1-boot', 'im-10/im-10-boot'])
})

test('a repeated messageId is not appended again, and says where to push all the same', async () => {
  const { inbox, append, seqs, directory } = setUp()
  const first = await append(text('a'), 'same')
  await append(text('b'), 'other')
  const { session } = await directory.login(createDraft())
  const brokers = [{ brokerId: session.brokerId, incarnation: session.incarnation.split('/')[1] }]
  assert.deepEqual(await append(text('a'), 'same'), { ...first, duplicate: true, brokers })
  assert.deepEqual(await seqs(), [1, 2])
  const fromCarol = await inbox.append({ to, from: 'carol', clientType: 1, messageId: 'same', payload: text('c') })
  assert.deepEqual([fromCarol.seq, fromCarol.duplicate], [3, false], 'messageIds are their sender’s own')
})

test('of appends at once each has its own result, also when another finds a foreign key', async () => {
  const { inbox, keys } = setUp()
  const users = Array.from({ length: 150 }, (_, index) => ({ appId: 1, userId: `user-${index}` }))
  await redis.set(keys.inbox(users[70] ?? to), 'foreign')
  const appended = await Promise.allSettled(
    users.map((user, index) =>
      inbox.append({ to: user, from: 'bob', clientType: 2, messageId: 'm', payload: text(`for ${index}`) }),
    ),
  )
  for (const [index, result] of appended.entries()) {
    if (index === 70) {
      assert.ok(result.status === 'rejected')
      assert.equal((result.reason as { code?: string }).code, 'redis_foreign_key')
      assert.match((result.reason as Error).message, /user-70}:inbox/)
    } else {
      assert.ok(result.status === 'fulfilled')
      const { messages } = await inbox.read(users[index] ?? to, 0)
      assert.deepEqual(
        messages.map(({ seq, payload }) => [seq, Buffer.from(payload).toString()]),
        [[result.value.seq, `for ${index}`]],
      )
    }
  }
})

test('appends at once to one inbox keep their order, however many calls they take', async () => {
  const { append, inbox } = setUp()
  const payloads = Array.from({ length: 100 }, (_, index) => Buffer.alloc(30_000, index))
  const appended = await Promise.all(payloads.map((payload) => append(payload)))
  assert.deepEqual(
    appended.map(({ seq }) => seq),
    payloads.map((_, index) => index + 1),
  )
  const { messages } = await inbox.read(to, 0, { count: 20 })
  assert.ok(messages.every(({ payload }, index) => payloads[index]?.equals(payload)))
})

test('retries at once, over several clients, append one message', async () => {
  const { append, seqs } = setUp()
  const results = await Promise.all(Array.from({ length: 50 }, () => append(text('a'), 'same')))
  assert.equal(results.filter(({ duplicate }) => !duplicate).length, 1)
  assert.equal(new Set(results.map(({ seq, sentAt, epoch }) => `${seq} ${sentAt} ${epoch}`)).size, 1)
  assert.deepEqual(await seqs(), [1])
})

test('a messageId is free again after the dedupe window', async () => {
  const { append, keys } = setUp({ dedupeMs: 1 })
  await append(text('a'), 'same')
  while ((await redis.keys(`${keys.seen(to)}*`)).length > 0) await delay(1)
  assert.deepEqual((await append(text('a'), 'same')).seq, 2)
})

test('reading goes on after a seq, in pages bounded by count and by bytes', async () => {
  const { inbox, append, seqs } = setUp()
  for (let at = 0; at < 70; at++) await append(randomBytes(100))
  assert.deepEqual((await seqs()).length, 64)
  assert.deepEqual(await seqs(68), [69, 70])
  assert.deepEqual(await seqs(70), [])
  assert.deepEqual(await seqs(2 ** 53 - 1), [])
  const page = async (limits: { count?: number; bytes?: number }) =>
    (await inbox.read(to, 5, limits)).messages.map(({ seq }) => seq)
  assert.deepEqual(await page({ count: 3 }), [6, 7, 8])
  assert.deepEqual(await page({ bytes: 250 }), [6, 7])
  assert.deepEqual(await page({ bytes: 300 }), [6, 7, 8])
  assert.deepEqual(await page({ bytes: 1 }), [6], 'one at least')
  assert.equal((await page({ bytes: 2000 })).length, 20)
  assert.equal((await page({ count: 10_000 })).length, 64)
})

test('only the newest maxLength messages are kept', async () => {
  const { inbox, append, seqs, keys } = setUp({ maxLength: 10 })
  for (let at = 0; at < 250; at++) await append()
  const { head, earliest } = await inbox.read(to, 0)
  assert.deepEqual([head, earliest], [250, 241])
  assert.deepEqual(await seqs(), [241, 242, 243, 244, 245, 246, 247, 248, 249, 250])
  assert.equal(await redis.llen(keys.inbox(to)), 10)
})

test('a lower maxLength is reached in steps', async () => {
  const { keys, append } = setUp()
  await Promise.all(Array.from({ length: 600 }, () => append()))
  const inbox = new Inbox(redis, keys, { maxLength: 10 })
  const lengths: number[] = []
  for (let at = 0; lengths.at(-1) !== 10; at++) {
    await inbox.append({ to, from: 'bob', clientType: 2, messageId: `later ${at}`, payload: text('hi') })
    lengths.push(await redis.llen(keys.inbox(to)))
    const { head, earliest } = await inbox.read(to, 0)
    assert.deepEqual([head, head - earliest + 1], [601 + at, lengths[at]])
  }
  assert.ok((lengths[0] ?? 0) > 400, lengths.join(' '))
  assert.ok(lengths.length < 20, lengths.join(' '))
})

test('messages older than the retention are trimmed, a few with each append', async () => {
  const retentionMs = 300
  const { inbox, append, seqs } = setUp({ retentionMs })
  const sent: Appended[] = []
  for (let at = 0; at < 20; at++) sent.push(await append())
  await delay(200)
  sent.push(await append())
  await delay(Math.max(0, (sent[19]?.sentAt ?? 0) + retentionMs + 50 - Date.now()))
  for (let at = 0; at < 2; at++) sent.push(await append())
  const now = sent.at(-1)?.sentAt ?? 0
  // The look for expired messages may be late by a tenth of the retention.
  const expired = sent.filter(({ sentAt }) => sentAt + retentionMs * 1.1 <= now)
  const retained = sent.filter(({ sentAt }) => sentAt + retentionMs > now)
  const { earliest, head } = await inbox.read(to, 0)
  assert.equal(head, 23)
  assert.ok(expired.length >= 20 && expired.every(({ seq }) => seq < earliest))
  assert.ok(retained.every(({ seq }) => seq >= earliest))
  assert.equal((await seqs())[0], earliest)
})

test('an inbox that expired is empty, keeps its epoch and goes on counting', async () => {
  const { inbox, append, keys } = setUp({ retentionMs: 1 })
  const { epoch } = await append()
  while ((await redis.exists(keys.inbox(to))) === 1) await delay(1)
  assert.deepEqual(await inbox.read(to, 0), { epoch, head: 1, earliest: 2, messages: [] })
  const next = await append()
  assert.deepEqual([next.seq, next.epoch], [2, epoch])
})

test('after a flush the inbox begins anew under another epoch', async () => {
  const { inbox, append, keys } = setUp()
  const before = await append()
  await redis.del(keys.inbox(to), keys.inboxMeta(to))
  const state = await inbox.read(to, 0)
  assert.notEqual(state.epoch, before.epoch)
  assert.deepEqual([state.head, state.earliest], [0, 1])
  const after = await append()
  assert.deepEqual([after.seq, after.epoch], [1, state.epoch])
})

test('when only the meta data were lost, numbers go on where the stream ends', async () => {
  const { inbox, append, keys, seqs } = setUp()
  const before = await append()
  const former = (await redis.getBuffer(keys.inboxMeta(to))) ?? assert.fail()
  await append()
  await redis.del(keys.inboxMeta(to))
  const after = await append()
  assert.equal(after.seq, 3)
  assert.notEqual(after.epoch, before.epoch)
  assert.deepEqual(await seqs(), [1, 2, 3])
  await redis.set(keys.inboxMeta(to), former)
  const healed = await append()
  assert.equal(healed.seq, 4, 'also when they were set back')
  assert.notEqual(healed.epoch, after.epoch)
  assert.equal((await inbox.read(to, 0)).head, 4)
})

test('a cursor only rises, within its epoch, and never beyond the newest message', async () => {
  const { inbox, append, keys } = setUp()
  const { epoch } = await append()
  for (let at = 0; at < 4; at++) await append()
  const save = async (seq: number, of = epoch) => {
    await inbox.saveCursors([{ user: to, device, epoch: of, seq }])
    return redis.hget(keys.cursors(to), '1:browser')
  }
  assert.equal(await save(3), `${epoch}:3`)
  assert.equal(await save(2), `${epoch}:3`)
  assert.equal(await save(4, 'formerepoch'), `${epoch}:3`)
  assert.equal(await save(2 ** 53 - 1), `${epoch}:5`)
  assert.ok((await redis.pttl(keys.cursors(to))) > 0)
  await redis.del(keys.inboxMeta(to))
  const { epoch: next } = await append()
  assert.equal(await save(1, next), `${next}:1`, 'a new epoch begins from the start')
})

test('many cursors are saved at once, and a user keeps a bounded number of them', async () => {
  const { inbox, append, keys } = setUp()
  const { epoch } = await append()
  await append()
  const entry = (imei: string, seq: number) => ({ user: to, device: { clientType: 1, imei }, epoch, seq })
  await inbox.saveCursors(Array.from({ length: 256 }, (_, at) => entry(`imei-${at}`, at === 7 ? 1 : 2)))
  await inbox.saveCursors([entry('one more', 1)])
  const fields = await redis.hkeys(keys.cursors(to))
  assert.equal(fields.length, 256)
  assert.ok(fields.includes('1:one more') && !fields.includes('1:imei-7'))
})

test('a stream that a failover cut short gets a new epoch, once', async () => {
  const { inbox, append } = setUp()
  const { epoch } = await append()
  assert.deepEqual(await inbox.fork(to, epoch, 1), { epoch, head: 1, earliest: 1 }, 'nothing was lost')
  const forked = await inbox.fork(to, epoch, 3)
  assert.notEqual(forked.epoch, epoch)
  assert.deepEqual(await inbox.fork(to, epoch, 3), forked, 'every other gateway finds the new one')
  assert.deepEqual((await append()).epoch, forked.epoch)
})
