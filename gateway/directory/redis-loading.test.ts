import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { startGateway } from '../../test/kit/servers/gateway-process.ts'
import { startNats } from '../../test/kit/servers/nats-server.ts'
import { buildSend, connectTcp } from '../../test/kit/raw-client.ts'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { codes } from '../../protocol/codes.ts'
import { awaitReady, checkWritable, closeRedis, connectRedis } from '../../session/redis/redis.ts'
import { eventually, loginTcp, readMetric } from '../test-bench.ts'

const words = /Redis is loading its data/

test('a Redis that loads its data is told from one that is away: to clients, at /readyz, in log, metric and error; then all goes on', async () => {
  await using stack = new AsyncDisposableStack()
  // Each key takes 200 ms to load, and clients are answered after each: a minute, unless it is told to hurry.
  const slowly = [
    '--key-load-delay',
    '200000',
    '--loading-process-events-interval-bytes',
    '1024',
    '--rdbcompression',
    'no',
  ]
  const server = stack.use(await startRedis({ persistent: false, config: slowly }))
  const nats = stack.use(await startNats())
  const options = { brokerId: 'gw-0', redisUrl: server.url, natsUrl: nats.url, env: { IM_LEASE_MS: '1500' } }
  const gateway = stack.use(await startGateway(options))
  const alice = stack.use(await loginTcp(gateway, { token: '1:alice' }))
  const askReady = async () => (await fetch(`${gateway.adminUrl}/readyz`)).text()

  const admin = new Redis(server.port, '127.0.0.1', { enableReadyCheck: false })
  stack.defer(() => admin.disconnect())
  admin.on('error', () => undefined)
  for (let at = 0; at < 300; at += 1) await admin.set(`ballast:${at}`, 'x'.repeat(2_000))
  await admin.save()
  await server.stop()
  await eventually(askReady, (text) => text.includes('Redis does not answer'), 'Redis to be away')
  alice.send(buildSend('bob', 'while it is away'))
  assert.equal((await alice.next('error')).message, codes.unavailable.message)
  const loaded = server.start()
  loaded.catch(() => undefined)

  await eventually(askReady, (text) => words.test(text), '/readyz to say that Redis loads')
  alice.send(buildSend('bob', 'while it loads'))
  const refused = await alice.next('error')
  assert.equal(refused.code, codes.unavailable.code)
  assert.match(refused.message, /^Redis is loading its data; try again/)
  await using guest = await connectTcp(gateway.tcpUrl)
  await assert.rejects(guest.login({ token: '1:carol' }), /unavailable/)
  assert.match((await guest.waitForEnd()).frame?.message ?? '', /^Redis is loading its data; try again/)
  assert.equal(await readMetric(gateway, 'im_trouble{reason="RedisLoading"}'), 1)
  await gateway.waitForLog(({ msg, reason }) => reason === 'RedisLoading' && words.test(String(msg)), 60_000)

  // What the operator sees, too.
  const told: string[] = []
  const other = connectRedis(server.url, {
    connectionName: 'other',
    commandTimeoutMs: 3_000,
    onError: ({ code }) => told.push(code),
  })
  stack.defer(() => closeRedis(other))
  await eventually(
    () => Promise.resolve(told.join()),
    (codesTold) => codesTold === 'redis_loading',
    'the error of another client',
  )
  await assert.rejects(checkWritable(other), { code: 'redis_loading', message: words })
  await assert.rejects(awaitReady(other, 50), { code: 'redis_loading', message: words })

  await admin.config('SET', 'key-load-delay', '0')
  await loaded
  await eventually(askReady, (text) => text === 'ok\n', '/readyz')
  assert.equal(await readMetric(gateway, 'im_trouble{reason="RedisLoading"}'), 0)
  await eventually(
    async () => {
      alice.send(buildSend('bob', 'afterwards'))
      return (await Promise.race([alice.next('accepted'), alice.next('error')])).type
    },
    (type) => type === 'accepted',
    'a message to be accepted',
  )
})
