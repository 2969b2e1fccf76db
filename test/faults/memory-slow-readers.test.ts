import assert from 'node:assert/strict'
import { it } from 'node:test'
import { buildSend } from '../kit/raw-client.ts'
import {
  assertPressure,
  assertRelieved,
  assertSurvived,
  Bystander,
  describeMemory,
  loginMany,
  memoryOf,
  namesOf,
  smallContainer,
  untold,
} from '../kit/memory.ts'
import { metric, TestCluster } from '../kit/test-cluster.ts'

const READERS = 40
/** Much for each, as the system buffers megabytes, too, for each that does not read. */
const MAX_BUFFERED_BYTES = 8 * 1_048_576
const payload = 'm'.repeat(60_000)

it('40 clients stop reading: memory stays, and they get everything later', { skip: untold }, async (t) => {
  const env = {
    ...smallContainer,
    IM_MAX_BUFFERED_BYTES: String(MAX_BUFFERED_BYTES),
    // Slow is whoever reads nothing for longer than this test takes.
    IM_SLOW_CONSUMER_TIMEOUT_MS: '120000',
    IM_IDLE_TIMEOUT_MS: '120000',
  }
  await using cluster = await TestCluster.start({ gateways: ['gw-0'], env, persistent: false })
  const gateway = cluster.gateway('gw-0')
  const bystander = await Bystander.open(gateway)
  const [sender, light] = await loginMany(gateway, ['sender', 'light'])
  assert.ok(sender && light)
  const slow = await loginMany(gateway, namesOf('slow', READERS))
  for (const client of slow) client.pause()
  const { now: before } = memoryOf(gateway)

  // Until a message is written to nobody any more.
  let sent = 0
  for (let last = -1, now = 0; now > last;) {
    for (let round = 0; round < 5; round++, sent++) {
      for (const user of namesOf('slow', READERS)) sender.send(buildSend(user, payload, { requestId: sent }))
      for (const _ of slow) assert.equal((await sender.next('accepted')).seq, sent + 1)
    }
    last = now
    now = await metric(gateway, 'im_messages_delivered_total', 'kind="durable"')
  }
  assertSurvived(gateway)
  await assertPressure(gateway)
  // Who reads is served meanwhile.
  for (let seq = 1; seq <= 20; seq++) {
    sender.send(buildSend('light', `light ${seq}`))
    assert.equal((await light.next('message')).seq, seq)
  }

  for (const client of slow) client.resume()
  for (const client of slow) {
    for (let seq = 1; seq <= sent; seq++) assert.equal((await client.next('message')).seq, seq)
    client.destroy()
  }
  assertSurvived(gateway)
  t.diagnostic(`${sent} messages to each of ${READERS}`)
  t.diagnostic(`bystander: ${await bystander.stop()}`)
  await assertRelieved(gateway)
  t.diagnostic(describeMemory(gateway, before))
  sender.destroy()
  light.destroy()
})
