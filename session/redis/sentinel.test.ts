import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { Inbox } from '../inbox/inbox.ts'
import { isUnavailable } from './redis.ts'
import { freshKeys, openRedis, startSentinel } from '../test-kit.ts'

const server = await startRedis()
const sentinel = await startSentinel(server.port)
after(async () => {
  await sentinel[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

test('the primary is found by a sentinel, and found again when it was away', async () => {
  await using client = await openRedis(`redis-sentinel://127.0.0.1:${sentinel.port}/main`)
  const inbox = new Inbox(client.redis, freshKeys())
  const append = (messageId: string) =>
    inbox.append({ to: { appId: 1, userId: 'a' }, from: 'b', clientType: 1, messageId, payload: new Uint8Array() })
  assert.equal((await append('1')).seq, 1)
  await server.stop()
  await assert.rejects(append('2'), isUnavailable)
  await server.start()
  const deadline = performance.now() + 60_000
  for (;;) {
    const result = await append('2').catch((error: unknown) => error)
    if (!(result instanceof Error)) break
    assert.ok(isUnavailable(result) && performance.now() < deadline, String(result))
    await delay(50)
  }
  assert.equal((await inbox.read({ appId: 1, userId: 'a' }, 0)).head, 2)
})
