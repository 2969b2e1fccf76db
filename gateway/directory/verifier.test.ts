import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { connect } from 'nats'
import { Inbox } from '../../session/inbox/inbox.ts'
import { indexMember, Keys } from '../../session/keys.ts'
import { openRedis } from '../../session/test-kit.ts'
import { parseUserSession } from '../../session/user-session.ts'
import { textOf, type RawClient } from '../../test/kit/raw-client.ts'
import { buildRoute, encodeHead } from '../bus/binary-message.ts'
import { bootIdOf } from '../../session/brokers/broker.ts'
import { eventually, loginTcp, openBench, SECRET } from '../test-bench.ts'

/** The slow round must have no part in this. */
const SETTINGS = { VERIFY_ROUND_MS: '86400000', LEASE_MS: '3000' }
/** More than are compared at once when all are. */
const MANY = 200

const bench = await openBench()
const { redis, ...client } = await openRedis(bench.redis.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await bench[Symbol.asyncDispose]()
})
const keys = new Keys()
const inbox = new Inbox(redis, keys)

/** A message of which no gateway hears. */
async function appendQuietly(userId: string, text: string): Promise<void> {
  const to = { appId: 1, userId }
  await inbox.append({ to, from: 'alice', clientType: 1, messageId: text, payload: Buffer.from(`${SECRET} ${text}`) })
}

async function storedOf(userId: string) {
  const [json = ''] = await redis.hvals(keys.sessions({ appId: 1, userId }))
  const session = parseUserSession(json)
  const bootId = bootIdOf(session.incarnation)
  return { session, bootId, index: keys.index(session.brokerId, bootId) }
}

async function assertNext(from: RawClient, text: string): Promise<void> {
  assert.equal(textOf(await from.next('message')), `${SECRET} ${text}`)
}

async function countCalls(command: string): Promise<number> {
  const stats = await redis.info('commandstats')
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}

test('sessions that cannot be written again keep no others from being compared, and are not tried without end', async () => {
  const gateway = await bench.startHere('crowded', SETTINGS)
  await using stack = new AsyncDisposableStack()
  const names = Array.from({ length: MANY }, (_, at) => `user-${at}`)
  for (const name of names) stack.use(await loginTcp(gateway, { token: `1:${name}` }))
  const last = stack.use(await loginTcp(gateway, { token: '1:last' }))
  const { bootId, index } = await storedOf('last')
  await redis.set(index, 'of another hand')
  await redis.del(names.map((userId) => keys.sessions({ appId: 1, userId })))
  await appendQuietly('last', 'found')
  const nats = await connect({ servers: bench.nats.url })
  stack.defer(() => nats.close())
  // The number of a message that never came.
  nats.publish('broker.crowded', encodeHead(buildRoute(bootId, 'other', 'b1-other'), 1))
  await assertNext(last, 'found')
  await redis.config('RESETSTAT')
  // Of the beats.
  await eventually(
    () => countCalls('pexpire'),
    (calls) => calls >= 4,
    'some seconds to pass',
  )
  const compared = await countCalls('hget')
  assert.ok(compared < MANY, `${compared} sessions were compared at rest`)
})

test('heads are compared also while Redis takes nothing new, and what it took not is written when it does', async () => {
  const gateway = await bench.startHere('full', SETTINGS)
  await using erin = await loginTcp(gateway, { token: '1:erin' })
  const { session, bootId, index } = await storedOf('erin')
  const findCanaries = () => redis.keys(`im:canary:*:${bootId}*`)
  const canaries = await eventually(findCanaries, (found) => found.length > 0, 'a canary')
  await appendQuietly('erin', 'found')
  await redis.srem(index, indexMember(session, session))
  await redis.config('SET', 'maxmemory', '1')
  await redis.del(canaries)
  await assertNext(erin, 'found')
  await redis.config('SET', 'maxmemory', '0')
  await eventually(
    () => redis.smembers(index),
    (members) => members.includes(indexMember(session, session)),
    'the index is whole',
  )
})
