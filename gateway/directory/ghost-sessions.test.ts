import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { Keys, deviceField, indexMember } from '../../session/keys.ts'
import { openRedis } from '../../session/test-kit.ts'
import { formatUserSession, parseUserSession, type UserSession } from '../../session/user-session.ts'
import { eventually, loginTcp, openBench, readMetric } from '../test-bench.ts'

const bench = await openBench()
const { redis, ...client } = await openRedis(bench.redis.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await bench[Symbol.asyncDispose]()
})
const keys = new Keys()

/** The stored session of a device, which is the only one of its user. */
async function storedOf(userId: string): Promise<UserSession | undefined> {
  const [json] = await redis.hvals(keys.sessions({ appId: 1, userId }))
  return json === undefined ? undefined : parseUserSession(json)
}

describe('in its slow round a gateway', () => {
  test('ends online sessions that it does not hold, and drops index entries without a session of its own', async () => {
    const gateway = await bench.startHere('slow-round', { VERIFY_ROUND_MS: '200' })
    await using _living = await loginTcp(gateway, { token: '1:living' })
    const living = (await storedOf('living')) ?? assert.fail()
    const index = keys.index('slow-round', living.incarnation.split('/').at(-1) ?? '')
    const put = async (session: UserSession) => {
      await redis.sadd(index, indexMember(session, session))
      await redis.hset(keys.sessions(session), deviceField(session), formatUserSession(session))
    }
    await put({ ...living, userId: 'ghost', connectionId: 'of nobody' })
    await put({ ...living, userId: 'elsewhere', connectionId: 'other', brokerId: 'other', incarnation: 'pod/boot' })
    await redis.sadd(index, indexMember({ appId: 1, userId: 'nothing' }, living))

    await eventually(
      () => storedOf('ghost'),
      (session) => session?.connectState === 2,
      'the ghost is offline',
    )
    const names = async () => (await redis.smembers(index)).map((member) => member.split(':')[1] ?? '').toSorted()
    await eventually(names, (users) => users.join() === 'ghost,living', 'the index names what is there')
    assert.deepEqual((await storedOf('elsewhere'))?.connectState, 1, 'a session of another gateway is its own affair')
    assert.deepEqual(await storedOf('living'), living)
    assert.equal(await readMetric(gateway, 'im_ghost_sessions_total'), 1)
  })
})
