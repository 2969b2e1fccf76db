import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { openRedis } from '../test-kit.ts'
import { Keys } from '../keys.ts'
import { Inbox } from './inbox.ts'

const ONLY_MESSAGE = 900
const FURTHER_MESSAGE = 240
const RECORD = 30

test('what a message takes in Redis, by the number of messages of a user', async () => {
  await using server = await startRedis({ persistent: false })
  await using client = await openRedis(server.url)
  const { redis } = client
  // The prefix counts, too.
  const keys = new Keys()
  const inbox = new Inbox(redis, keys)
  const usedBytes = async () => Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1])
  const append = (userId: string) => {
    const to = { appId: 1, userId }
    return inbox.append({ to, from: 'sender', clientType: 1, messageId: randomUUID(), payload: Buffer.alloc(128) })
  }
  const appendEach = async (users: number, messages: number, name: string) => {
    const before = await usedBytes()
    for (let at = 0; at < messages; at++) {
      await Promise.all(Array.from({ length: users }, (_, user) => append(`${name}-${user}`)))
    }
    return ((await usedBytes()) - before) / users
  }
  const recordBytes = async (userId: string) => {
    const hashes = await redis.keys(`${keys.seen({ appId: 1, userId })}*`)
    const sizes = await Promise.all(hashes.map((key) => redis.memory('USAGE', key, 'SAMPLES', 0)))
    return sizes.reduce<number>((sum, size) => sum + Number(size), 0)
  }
  await append('first of all')
  const only = await appendEach(2_000, 1, 'only')
  assert.ok(only <= ONLY_MESSAGE, `${only} bytes for a user's only message`)
  const record = await recordBytes('only-0')
  for (const [users, messages] of [
    [400, 5],
    [50, 100],
    [20, 300],
    [2, 3_000],
  ] as const) {
    const each = ((await appendEach(users, messages, `of-${messages}`)) - only) / (messages - 1)
    assert.ok(each <= FURTHER_MESSAGE, `${each} bytes for each further one of ${messages}`)
    const further = ((await recordBytes(`of-${messages}-0`)) - record) / (messages - 1)
    assert.ok(further <= RECORD, `${further} bytes of records for each of ${messages}`)
  }
})
