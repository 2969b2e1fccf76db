import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGateway } from '../../test/kit/servers/gateway-process.ts'
import { startNats } from '../../test/kit/servers/nats-server.ts'
import { buildSend, textOf } from '../../test/kit/raw-client.ts'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { assertCounted, eventually, loginTcp, readMetric } from '../test-bench.ts'

const MAX_PAYLOAD = 4_096

test('messages longer than NATS takes arrive at once all the same, and the limit is told at the start', async () => {
  await using stack = new AsyncDisposableStack()
  const redis = stack.use(await startRedis({ persistent: false }))
  const nats = stack.use(await startNats({ config: JSON.stringify({ max_payload: MAX_PAYLOAD }) }))
  // No round of comparing heads comes to help.
  const env = { IM_VERIFY_ROUND_MS: '3600000' }
  const start = async (brokerId: string) =>
    stack.use(await startGateway({ brokerId, redisUrl: redis.url, natsUrl: nats.url, env }))
  const [near, far] = [await start('gw-0'), await start('gw-1')]
  const told = near.logs().filter(({ reason }) => reason === 'NatsPayloadTooSmall')
  assert.equal(told.length, 1)
  assert.match(String(told[0]?.['msg']), /takes 4096 bytes.* a frame of 65536 \(IM_MAX_FRAME_BYTES\) may need 67584:/)
  assert.equal(await readMetric(near, 'im_trouble{reason="NatsPayloadTooSmall"}'), 1)

  await using alice = await loginTcp(near, { token: '1:alice' })
  await using bob = await loginTcp(far, { token: '1:bob' })
  const texts = [10, MAX_PAYLOAD - 200, MAX_PAYLOAD, 20, 60_000, 30].map((length, at) => `${at}`.repeat(length))
  const round = async () => {
    for (const [at, text] of texts.entries()) alice.send(buildSend('bob', text, { requestId: at }))
    for (const text of texts) assert.equal(textOf(await bob.next('message')), text)
  }
  await assertCounted(near, 'im_bus_records_total{type="head"}', round, 2)
  await assertCounted(near, 'im_bus_dropped_total{type="transient"}', async () => {
    for (let at = 0; at < texts.length; at++) await alice.next('accepted')
    alice.send(buildSend('bob', 'x'.repeat(MAX_PAYLOAD), { durable: false }))
    await alice.next('accepted')
    alice.send(buildSend('bob', 'short', { durable: false }))
    assert.equal(textOf(await bob.next('message')), 'short')
  })
  assert.ok(near.logs().every(({ msg }) => msg !== 'cannot publish'))
})

test('a NATS that takes every frame is no trouble', async () => {
  await using redis = await startRedis({ persistent: false })
  await using nats = await startNats()
  await using gateway = await startGateway({ brokerId: 'gw-0', redisUrl: redis.url, natsUrl: nats.url })
  const answer = await eventually(
    async () => (await fetch(`${gateway.adminUrl}/readyz`)).text(),
    (text) => text !== '',
    '/readyz',
  )
  assert.equal(answer, 'ok\n')
})
