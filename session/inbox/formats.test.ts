import assert from 'node:assert/strict'
import { after, describe, it, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { devicePolicies } from '../device-policy.ts'
import { Directory } from '../directory.ts'
import type { Keys } from '../keys.ts'
import { callFunction } from '../redis/redis.ts'
import { createDraft, freshKeys, openRedis } from '../test-kit.ts'
import { Inbox, type InboxOptions } from './inbox.ts'
import { turnListsToStreams } from './lists-to-streams.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const to = { appId: 1, userId: 'bob' }
const STREAMS = { format: { writesLists: false } }
const text = Buffer.from('text')
const turning = { retentionMs: 60_000, cursorRetentionMs: 60_000, dedupeMs: 60_000 }

function setUp(options: InboxOptions = {}) {
  const keys = freshKeys()
  const [old, young] = [new Inbox(redis, keys, { ...options, ...STREAMS }), new Inbox(redis, keys, options)]
  const append = (inbox: Inbox, messageId: string, payload = messageId) =>
    inbox.append({ to, from: 'al:ice é', clientType: 1, messageId, payload: Buffer.from(payload) })
  const fill = async (inbox: Inbox, from: number, last: number) => {
    for (let at = from; at <= last; at++) await append(inbox, `m${at}`)
  }
  const readAll = async (inbox: Inbox, after = 0) => {
    const seqs: number[] = []
    for (let page; (page = await inbox.read(to, seqs.at(-1) ?? after)).messages.length > 0;) {
      for (const { seq, messageId, payload } of page.messages) {
        assert.equal(messageId, `m${seq}`)
        assert.equal(Buffer.from(payload).toString(), messageId)
        seqs.push(seq)
      }
    }
    return seqs
  }
  return { keys, old, young, append, fill, readAll }
}

const turn = (keys: Keys) => turnListsToStreams(redis, keys, turning, new AbortController().signal)

const count = (from: number, last: number) => Array.from({ length: last - from + 1 }, (_, at) => from + at)

describe('an inbox that was a stream', () => {
  it('goes on as a list in the same epoch; what the stream has is read before it, by those who write streams, too', async () => {
    const { old, young, fill, readAll, keys } = setUp()
    await fill(old, 1, 100)
    const before = await old.read(to, 0)
    await fill(young, 101, 250)
    const after = await young.read(to, 0)
    assert.deepEqual([after.epoch, after.head, after.earliest], [before.epoch, 250, 1])
    await fill(old, 251, 255)
    for (const inbox of [old, young]) {
      assert.deepEqual(await readAll(inbox), count(1, 255))
      assert.deepEqual(await readAll(inbox, 95), count(96, 255))
    }
    assert.equal(await redis.llen(keys.inbox(to)), 155)
    assert.equal(await redis.type(keys.inboxMeta(to)), 'string', 'a gateway of 0.2.0 gets an error')
  })

  it('knows a retry of what was appended to the stream', async () => {
    const { old, young, append } = setUp()
    const first = await append(old, 'm1')
    const again = await append(young, 'm1')
    assert.deepEqual([again.seq, again.epoch, again.duplicate], [first.seq, first.epoch, true])
    assert.equal((await append(young, 'm2')).seq, 2)
  })

  it('knows such a retry also when the stream has been trimmed away', async () => {
    const { old, young, append, fill, readAll } = setUp({ maxLength: 5 })
    await fill(old, 1, 5)
    await fill(young, 6, 20)
    const again = await append(young, 'm3')
    assert.deepEqual([again.seq, again.duplicate], [3, true])
    assert.deepEqual(await readAll(young), count(16, 20))
  })

  it('has what is in the stream, also where its meta data are older', async () => {
    const { old, young, fill, readAll, keys } = setUp()
    await fill(old, 1, 5)
    const before = await old.read(to, 0)
    await redis.hset(keys.inboxMeta(to), 'seq', 3)
    await fill(young, 6, 7)
    assert.notEqual((await young.read(to, 0)).epoch, before.epoch)
    assert.deepEqual(await readAll(young), count(1, 7))
  })

  it('takes nothing while a foreign key is in the place of the stream, and goes on in the same epoch after it', async () => {
    const { old, young, append, fill, readAll, keys } = setUp()
    await fill(old, 1, 5)
    const before = await young.read(to, 0)
    await redis.set(keys.inboxStream(to), 'foreign')
    await assert.rejects(append(young, 'm6'), { code: 'redis_foreign_key' })
    await redis.del(keys.inboxStream(to))
    await fill(young, 6, 7)
    assert.equal((await young.read(to, 0)).epoch, before.epoch)
    assert.deepEqual(await readAll(young), count(6, 7))
  })

  it('is trimmed, and the stream goes with its last message that is retained', async () => {
    const { old, young, fill, readAll, keys } = setUp({ maxLength: 20, dedupeMs: 1 })
    await fill(old, 1, 20)
    await fill(young, 21, 30)
    assert.deepEqual(await readAll(young), count(11, 30))
    await fill(young, 31, 40)
    // The window is over in which a retry may be of what the stream had.
    await delay(2)
    await fill(young, 41, 45)
    assert.deepEqual(await readAll(young), count(26, 45))
    assert.equal(await redis.exists(keys.inboxStream(to)), 0)
    assert.equal(await redis.llen(keys.inbox(to)), 20)
  })

  it('loses the stream, and has what is in the list', async () => {
    const { old, young, fill, readAll, keys } = setUp()
    await fill(old, 1, 5)
    await fill(young, 6, 9)
    await redis.del(keys.inboxStream(to))
    const [verified] = await new Directory(redis, keys, devicePolicies.unlimited).verify([{ user: to, sessions: [] }])
    const page = await young.read(to, 0)
    assert.deepEqual([page.head, page.earliest], [9, 6])
    assert.deepEqual(verified?.inbox, { epoch: page.epoch, head: 9, earliest: 6 })
    assert.deepEqual(await readAll(young), count(6, 9))
  })

  it('loses its meta data: numbers go on where the list ends', async () => {
    const { old, young, fill, readAll, keys } = setUp()
    await fill(old, 1, 5)
    await fill(young, 6, 9)
    const before = await young.read(to, 0)
    await redis.del(keys.inboxMeta(to))
    await fill(old, 10, 11)
    assert.notEqual((await young.read(to, 0)).epoch, before.epoch)
    assert.deepEqual(await readAll(young), count(1, 11))
  })
})

describe('lists are turned to streams', () => {
  it('with what was a stream before, in steps, in the same epoch, and go on as streams', async () => {
    const { old, young, fill, readAll, keys, append } = setUp()
    await fill(old, 1, 30)
    await fill(young, 31, 230)
    const before = await young.read(to, 0)
    assert.deepEqual(await turn(keys), { turned: 1, left: 0 })
    assert.equal(await redis.xlen(keys.inboxStream(to)), 230)
    assert.deepEqual(await redis.keys(`${keys.inbox(to)}*`), [])
    assert.equal(await redis.hget(keys.inboxMeta(to), 'epoch'), before.epoch)
    const again = await append(old, 'm230')
    assert.deepEqual([again.seq, again.duplicate], [230, true])
    await fill(old, 231, 240)
    assert.deepEqual(await readAll(old), count(1, 240))
    assert.deepEqual(await turn(keys), { turned: 0, left: 0 })
    assert.equal((await old.read(to, 0)).epoch, before.epoch)
  })

  it('while messages come', async () => {
    const { old, young, fill, readAll, keys, append } = setUp()
    await fill(young, 1, 500)
    const turned = turn(keys)
    const epochs = new Set<string>()
    for (let at = 501; at <= 600; at++) epochs.add((await append(old, `m${at}`)).epoch)
    await turned
    assert.equal(epochs.size, 1)
    assert.equal(await redis.type(keys.inboxMeta(to)), 'hash')
    assert.deepEqual(await readAll(old), count(1, 600))
  })

  it('also an empty one', async () => {
    const { old, young, keys, append } = setUp()
    const { epoch } = await young.read(to, 0)
    await turn(keys)
    const first = await append(old, 'm1')
    assert.deepEqual([first.seq, first.epoch], [1, epoch])
  })

  it('past one that cannot be made a stream, which is told', async () => {
    const { young, keys } = setUp()
    const users = Array.from({ length: 3 }, (_, at) => ({ appId: 1, userId: `user-${at}` }))
    for (const user of users) await young.append({ to: user, from: 'a', clientType: 1, messageId: 'm', payload: text })
    await redis.set(keys.inboxStream(users[1] ?? to), 'foreign')
    const { turned, left, problem } = await turn(keys)
    assert.deepEqual([turned, left, problem?.error.code], [2, 1, 'redis_foreign_key'])
    assert.match(problem?.key ?? '', /user-1}:inbox:meta/)
    await redis.del(keys.inboxStream(users[1] ?? to))
    assert.deepEqual(await turn(keys), { turned: 1, left: 0 })
  })

  it('as many bytes a call as Redis copies in a moment, and one entry at least', async () => {
    const { young, append, keys } = setUp()
    for (const [at, bytes] of [100_000, 100_000, 100_000, 300_000, 300_000, 10].entries()) {
      await append(young, `m${at}`, 'x'.repeat(bytes))
    }
    const [inboxKeys, args] = [
      [keys.inboxMeta(to), keys.inbox(to), keys.inboxStream(to)],
      [60_000, 120_000, 60_000, 64],
    ]
    const lengths: number[] = []
    for (let done = 0; done === 0; lengths.push(await redis.xlen(keys.inboxStream(to)))) {
      done = await callFunction(redis, 'list-to-stream', inboxKeys, [...args, 1 << 18])
    }
    assert.deepEqual(lengths, [3, 4, 5, 6])
  })

  it('until it is stopped, wherever it is', async () => {
    const { keys } = setUp()
    await assert.rejects(turnListsToStreams(redis, keys, turning, AbortSignal.abort()), { name: 'AbortError' })
  })
})

test('a login of a user makes no other inbox than an append does', async () => {
  const { old, young, keys } = setUp()
  const directory = new Directory(redis, keys, devicePolicies.unlimited, STREAMS)
  const first = await directory.login(createDraft(to))
  assert.equal(await redis.type(keys.inboxMeta(to)), 'hash')
  const second = await new Directory(redis, keys, devicePolicies.unlimited).login(createDraft(to))
  assert.equal(await redis.type(keys.inboxMeta(to)), 'string')
  assert.deepEqual(second.inbox, first.inbox)
  assert.equal((await old.read(to, 0)).epoch, (await young.read(to, 0)).epoch)
})
