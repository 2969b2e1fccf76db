import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Keys } from '../../session/keys.ts'
import { Device, sendEach } from '../kit/device.ts'
import { RawClient } from '../kit/raw-login.ts'
import { startHiddenPair, startRedisCluster, startSentinelSet } from '../kit/replicated-redis.ts'
import { assertHeard, assertStory, five, numbered } from '../kit/story.ts'
import { TestCluster } from '../kit/test-cluster.ts'

const [kept, lost, fresh] = [five('kept'), five('lost'), five('new')]
const bob = { appId: 1, userId: 'bob' }

const kinds = {
  'with sentinels': startSentinelSet,
  'in a Redis Cluster': () => startRedisCluster(new Keys().inbox(bob)),
  'behind a proxy that hides it': startHiddenPair,
}

describe('a failover to a replica that lacked the newest messages', () => {
  for (const [kind, start] of Object.entries(kinds)) {
    it(`${kind}: devices are told, whether connected or away, and get each new message once`, async () => {
      await using redis = await start()
      await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], redisUrl: redis.url })
      const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
      await using alice = await Device.open([first], { user: 'alice' })
      await using phone = await Device.open([second], { user: 'bob', imei: 'phone' })
      await using web = await RawClient.login(first, { user: 'bob', imei: 'web' })
      const epoch = web.framesOf('loggedIn')[0]?.epoch ?? ''
      await phone.has(await sendEach(alice, 'bob', kept))
      await redis.cut()
      await phone.has(await sendEach(alice, 'bob', lost))
      await web.waitFor('message', ({ seq }) => seq === 10)

      await redis.failOver()
      await sendEach(alice, 'bob', fresh)
      await using beyond = await RawClient.retryLogin(second, {
        user: 'bob',
        imei: 'beyond',
        cursor: { epoch, seq: 10 },
      })
      await using before = await RawClient.retryLogin(second, {
        user: 'bob',
        imei: 'before',
        cursor: { epoch, seq: 4 },
      })
      await alice.client.send('bob', 'last')

      const after = numbered(6, [...fresh, 'last'])
      await assertStory(beyond, ['reset 5', ...after])
      await assertStory(before, ['5 kept 5', ...after])
      await assertHeard(phone, [...kept, ...lost, ...fresh, 'last'], [5])
      await assertStory(web, [...numbered(1, [...kept, ...lost]), 'reset 5', ...after])
      assert.deepEqual([phone.disconnections, web.ending], [[], 'open'])
    })
  }
})
