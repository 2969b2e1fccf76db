import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import type { Keys } from '../keys.ts'
import { freshKeys, openRedis } from '../test-kit.ts'
import { digestOf, packTail } from './entry.ts'
import { Inbox, type InboxOptions } from './inbox.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const to = { appId: 1, userId: 'alice' }

function setUp(options: InboxOptions = {}) {
  const keys = freshKeys()
  const inbox = new Inbox(redis, keys, options)
  const append = (messageId: string, from = 'bob') =>
    inbox.append({ to, from, clientType: 2, messageId, payload: new Uint8Array(1) })
  const appendMany = (from: number, last: number) =>
    Promise.all(Array.from({ length: last - from + 1 }, (_, at) => append(`m${from + at}`)))
  return { keys, inbox, append, appendMany }
}

interface Change {
  readonly at: number
  readonly bytes: Buffer
}

/** Changes the packed meta data (META in list.lua). */
async function changeMeta(keys: Keys, ...changes: readonly Change[]): Promise<void> {
  const meta = (await redis.getBuffer(keys.inboxMeta(to))) ?? assert.fail()
  for (const { at, bytes } of changes) bytes.copy(meta, at)
  await redis.set(keys.inboxMeta(to), meta)
}

/** The dedupe window is over just now. */
function windowOver(): Change {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(Date.now() - 1, 0, 6)
  return { at: 29, bytes }
}

test('each of thousands of messages is known again, and their records stay small and end', async () => {
  const { keys, append, appendMany } = setUp()
  for (const [before, last] of [
    [0, 127],
    [127, 129],
    [129, 4097],
    [4097, 5000],
  ] as const) {
    await appendMany(before + 1, last)
    for (const at of [1, 2, 100, 127, 128, 129, 500, 2000, 4095, 4096, 4097, 4098, 5000]) {
      if (at > last) continue
      const again = await append(`m${at}`)
      assert.deepEqual([again.seq, again.duplicate], [at, true], `${at} of ${last}`)
    }
  }
  const hashes = await redis.keys(`${keys.seen(to)}*`)
  for (const hash of hashes) {
    assert.ok((await redis.pttl(hash)) > 0, `${hash} ends`)
    assert.equal(await redis.object('ENCODING', hash), 'listpack', hash)
  }
})

test('a message is known in the next window, however many its own one had, and were retried', async () => {
  for (const many of [1, 127, 128, 129, 4095, 4096, 4097]) {
    const { keys, append, appendMany } = setUp()
    await appendMany(1, many)
    assert.equal((await append('m1')).duplicate, true)
    await changeMeta(keys, windowOver())
    await append('next')
    for (const at of [1, Math.ceil(many / 2), many]) {
      const again = await append(`m${at}`)
      assert.deepEqual([again.seq, again.duplicate], [at, true], `${at} of ${many}`)
    }
  }
})

test('records end, whoever opened their window, and when they are made anew after a minute or after a restart', async () => {
  const { keys, append } = setUp()
  const allEnd = async (count: number) => {
    const hashes = await redis.keys(`${keys.seen(to)}*`)
    assert.equal(hashes.length, count)
    for (const hash of hashes) assert.ok((await redis.pttl(hash)) > 0, `${hash} ends`)
  }
  const restart = { at: 47, bytes: Buffer.from('another one!') }
  await append('m1')
  await changeMeta(keys, windowOver(), restart)
  assert.equal((await append('m1')).duplicate, true)
  await append('m2')
  await allEnd(2)
  await redis.del(await redis.keys(`${keys.seen(to)}*`))
  await changeMeta(keys, restart)
  await append('m3')
  await allEnd(1)
})

test('a message is known for the whole of the dedupe window, whenever it came', async () => {
  const dedupeMs = 400
  const { append } = setUp({ dedupeMs })
  // The first one opens a window; this one comes late in it, and others open the next.
  await append('first')
  await delay(dedupeMs / 2)
  const late = await append('late')
  for (let at = 0; ; at++) {
    await append(`other ${at}`)
    const again = await append('late')
    if (!again.duplicate) {
      assert.ok(again.sentAt - late.sentAt >= dedupeMs, `${again.sentAt - late.sentAt} ms`)
      break
    }
    assert.equal(again.seq, late.seq)
    await delay(10)
  }
})

test('a message is no duplicate of another with the same digest', async () => {
  const { keys, append } = setUp()
  await append('one')
  const { tail, payloadAt } = packTail({ from: 'bob', clientType: 2, messageId: 'two', payload: new Uint8Array(1) })
  const [hash] = await redis.keys(`${keys.seen(to)}*`)
  await redis.hset(hash ?? '', digestOf(tail, payloadAt) as unknown as string, 1)
  const stored = await append('two')
  assert.deepEqual([stored.seq, stored.duplicate], [2, false])
  assert.deepEqual([(await append('two')).seq, (await append('two')).duplicate], [2, true])
})

test('sender and messageId are told apart, wherever the one ends', async () => {
  const { append } = setUp()
  const pairs = [
    ['ab', 'c'],
    ['a', 'bc'],
    ['abc', ''],
  ] as const
  for (const [at, [from, id]] of pairs.entries()) assert.equal((await append(id, from)).seq, at + 1)
})

test('a retry of a message that has been trimmed is a duplicate', async () => {
  const { append, appendMany } = setUp({ maxLength: 5 })
  await appendMany(1, 20)
  const again = await append('m3')
  assert.deepEqual([again.seq, again.duplicate], [3, true])
})

test('a retry of a message that was evicted with its inbox is stored', async () => {
  const { keys, append, appendMany } = setUp()
  await appendMany(1, 3)
  await redis.del(keys.inbox(to))
  assert.deepEqual([(await append('m2')).seq, (await append('m2')).duplicate], [4, true])
  await redis.del(keys.inbox(to), keys.inboxMeta(to))
  await appendMany(10, 14)
  assert.equal((await append('m3')).duplicate, false)
})

test('the list ends after the retention, also when appends are many', async () => {
  const { keys, append } = setUp({ retentionMs: 60_000, cursorRetentionMs: 1_000 })
  for (let at = 0; at < 3; at++) await append(`m${at}`)
  const [list, meta] = [await redis.pttl(keys.inbox(to)), await redis.pttl(keys.inboxMeta(to))]
  assert.ok(list > 59_000 && list <= 66_000, String(list))
  assert.ok(meta > list)
})
