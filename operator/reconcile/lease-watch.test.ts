import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { closeRedis } from '../../session/redis/redis.ts'
import { freshKeys, openRedis } from '../../session/test-kit.ts'
import { LeaseWatch } from './lease-watch.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const brokerIds = ['im-0', 'im-1']

/** A watch of two gateways, of which the first renews its lease. */
function setUp(stack: DisposableStack, of = redis) {
  const keys = freshKeys()
  const woken = new EventTarget()
  const keep = (ms: number) => redis.set(keys.lease('im-0'), '{}', 'PX', ms)
  const watch = stack.use(new LeaseWatch((key) => woken.dispatchEvent(new CustomEvent('woken', { detail: key }))))
  const next = () => once(woken, 'woken', { signal: AbortSignal.timeout(60_000) })
  return { keys, keep, watch, start: () => watch.watch('chat/im', of, keys, brokerIds), next }
}

test('the end of a lease wakes a pass, once, and the renewals of the others do not', async () => {
  using stack = new DisposableStack()
  const { keys, keep, start, next } = setUp(stack)
  await keep(60_000)
  await redis.set(keys.lease('im-1'), '{}', 'PX', 3_000)
  const woken = next()
  start()
  await woken
  assert.equal(await redis.exists(keys.lease('im-1')), 0)
  let again = false
  void next().then(() => (again = true))
  await redis.set(keys.lease('im-1'), '{}', 'PX', 3_000)
  await waitUntilGone(keys.lease('im-1'))
  assert.equal(again, false, 'the pass says what is watched next')
})

test('it asks seldom: not before a lease can have ended', async () => {
  using stack = new DisposableStack()
  const { keys, keep, start, next } = setUp(stack)
  await keep(60_000)
  await redis.set(keys.lease('im-1'), '{}', 'PX', 6_000)
  const before = await countLooks()
  const woken = next()
  start()
  await woken
  // After the least wait, and when the lease has ended; on a slow machine less often.
  assert.ok((await countLooks()) - before <= 2 * brokerIds.length)
})

test('a Redis that cannot be asked wakes a pass, which says so', async () => {
  using stack = new DisposableStack()
  const other = await openRedis(server.url)
  const { start, next } = setUp(stack, other.redis)
  await closeRedis(other.redis)
  const woken = next()
  start()
  await woken
})

async function countLooks(): Promise<number> {
  const stats = await redis.info('commandstats')
  return Number(/cmdstat_pttl:calls=(\d+)/.exec(stats)?.[1] ?? 0)
}

async function waitUntilGone(key: string): Promise<void> {
  while ((await redis.exists(key)) === 1) await delay(100)
}
