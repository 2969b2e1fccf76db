import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Redis } from 'ioredis'
import { startGateway, type GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { buildSend, connectTcp } from '../../test/kit/raw-client.ts'
import { codes } from '../../protocol/codes.ts'
import { Keys } from '../../session/keys.ts'
import { parseLease } from '../../session/brokers/broker.ts'
import { parseLinkReport } from '../outage/link-report.ts'
import { eventually, loginTcp, openBench, readMetric, SECRET, type TestBench } from '../test-bench.ts'

let bench: TestBench
let gateway: GatewayProcess
let redis: Redis
const keys = new Keys()

before(async () => {
  bench = await openBench()
  gateway = await bench.start('gw-0', { LEASE_MS: '1500' })
  redis = new Redis(bench.redis.port, '127.0.0.1')
})

after(async () => {
  redis.disconnect()
  await bench[Symbol.asyncDispose]()
})

async function askReady(): Promise<string> {
  const response = await fetch(`${gateway.adminUrl}/readyz`)
  return `${response.status} ${await response.text()}`
}

function readyTo(text: RegExp): Promise<string> {
  return eventually(askReady, (got) => text.test(got), String(text))
}

test('a full Redis is told from one that is away: to the sender, at /readyz, in log, metric and lease; then all goes on', async () => {
  await using alice = await loginTcp(gateway, { token: '1:alice' })
  await redis.config('SET', 'maxmemory', '1')
  await readyTo(/^200 ok\nRedis is full: raise its maxmemory/)
  alice.send(buildSend('bob', SECRET))
  const refused = await alice.next('error')
  assert.deepEqual([refused.code, refused.message], [codes.storage_full.code, codes.storage_full.message])
  await using guest = await connectTcp(gateway.tcpUrl)
  await assert.rejects(guest.login({ token: '1:carol' }), /storage_full/)
  assert.equal(await readMetric(gateway, 'im_trouble{reason="RedisFull"}'), 1)
  await gateway.waitForLog((line) => line['reason'] === 'RedisFull', 20_000)
  await eventually(
    async () =>
      parseLease(await redis.get(keys.lease('gw-0')))
        ?.troubles?.map(({ reason }) => reason)
        .join(','),
    (reasons) => reasons === 'RedisFull',
    'the lease to say it',
  )
  await redis.config('SET', 'maxmemory', '0')
  await readyTo(/^200 ok\n$/)
  assert.equal(await readMetric(gateway, 'im_trouble{reason="RedisFull"}'), 0)
  alice.send(buildSend('bob', SECRET))
  await alice.next('accepted')
})

test('a Redis that refuses writes is named as that', async () => {
  await using alice = await loginTcp(gateway, { token: '1:alice' })
  await redis.config('SET', 'min-replicas-to-write', '1')
  await readyTo(/^200 ok\nRedis refuses writes: it has fewer replicas than min-replicas-to-write/)
  alice.send(buildSend('bob', SECRET))
  assert.equal((await alice.next('error')).code, codes.storage_read_only.code)
  await redis.config('SET', 'min-replicas-to-write', '0')
  await readyTo(/^200 ok\n$/)
  // Its lease may have run out meanwhile: nobody logs in before it is renewed.
  await eventually(
    async () => parseLinkReport(await (await fetch(`${gateway.adminUrl}/links`)).text())?.redis.works,
    (works) => works === true,
    'the lease is renewed',
  )
})

test('a foreign key is told with its kind, without its content, and not retried', async () => {
  await using alice = await loginTcp(gateway, { token: '1:alice' })
  const dave = { appId: 1, userId: 'dave' }
  await redis.set(keys.inbox(dave), SECRET)
  await redis.set(keys.sessions(dave), SECRET)
  alice.send(buildSend('dave', SECRET))
  const refused = await alice.next('error')
  assert.deepEqual([refused.code, refused.message], [codes.storage_foreign.code, codes.storage_foreign.message])
  await readyTo(
    /^200 ok\nforeign data in Redis instead of an inbox \(im:\{1:dave\}:inbox:list\), or the sessions of a user/,
  )
  await alice.sync()
  // The device comes back once the key is gone.
  await using guest = await connectTcp(gateway.tcpUrl)
  await assert.rejects(guest.login({ token: '1:dave' }), /internal/)
  assert.equal((await guest.waitForEnd()).frame?.message, codes.storage_foreign.message)
  await redis.del(keys.inbox(dave), keys.sessions(dave))
  alice.send(buildSend('dave', SECRET))
  await alice.next('accepted')
})

test(
  'a gateway that Redis refuses ends at once, and one that finds it without room for writes says so',
  { timeout: 60_000 },
  async () => {
    const start = (brokerId: string, redisUrl: string) =>
      startGateway({ brokerId, redisUrl, natsUrl: bench.nats.url, skipReady: true })
    const fatalOf = async (target: GatewayProcess) => {
      assert.deepEqual(await target.exited, { code: 1, signal: null })
      return target.logs().flatMap(({ level, code, msg }) => (level === 60 ? [`${String(code)} ${String(msg)}`] : []))
    }
    await redis.config('SET', 'requirepass', 'right')
    await using wrong = await start('gw-1', bench.redis.url.replace('://', '://:wrong@'))
    const [line = ''] = await fatalOf(wrong)
    await redis.config('SET', 'requirepass', '')
    assert.match(line, /^REDIS_REFUSED .*WRONGPASS.*; check IM_REDIS_URL$/)
    await redis.config('SET', 'maxmemory', '1')
    await using full = await start('gw-2', bench.redis.url)
    assert.match((await fatalOf(full))[0] ?? '', /^redis_full Redis is full: raise its maxmemory/)
    await redis.config('SET', 'maxmemory', '0')
  },
)

test('a Redis that evicts, or forgets with a restart, is told and not refused', async () => {
  const told = async () => parseLease(await redis.get(keys.lease('gw-0')))?.redisPersistent
  assert.equal(await readMetric(gateway, 'im_redis_persistent'), 0)
  await eventually(told, (persistent) => persistent === false, 'the lease to say that it is not kept')
  await gateway.waitForLog(({ msg }) => /neither an append-only file nor a replica/.test(String(msg)), 20_000)
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lru', 'appendonly', 'yes')
  // Read again with the next connection.
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await readyTo(
    /^200 ok\n(.*\n)*Redis evicts keys when its memory is full \(maxmemory-policy allkeys-lru\): inboxes are lost/,
  )
  assert.equal(await readMetric(gateway, 'im_trouble{reason="RedisEvicts"}'), 1)
  assert.equal(await readMetric(gateway, 'im_redis_persistent'), 1)
  await eventually(told, (persistent) => persistent === true, 'the lease to say that it is kept')
  await redis.config('SET', 'maxmemory-policy', 'noeviction', 'appendonly', 'no')
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await readyTo(/^200 ok\n(?!.*evicts)/s)
})
