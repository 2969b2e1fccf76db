import assert from 'node:assert/strict'
import { it } from 'node:test'
import { encodeBinary } from '../../protocol/binary.ts'
import { buildSend, connectTcp, type RawClient } from '../kit/raw-client.ts'
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
  steady,
  untold,
} from '../kit/memory.ts'
import { TestCluster } from '../kit/test-cluster.ts'
import { PATIENCE_MS, until } from '../kit/wait.ts'

const SENDERS = 200
const EACH = 16
const payload = 'm'.repeat(60_000)

it('Redis stands still while 200 clients send: memory stays, and all is answered', { skip: untold }, async (t) => {
  // No send is refused before Redis is back.
  const env = { ...smallContainer, IM_REDIS_TIMEOUT_MS: '30000' }
  await using cluster = await TestCluster.start({ gateways: ['gw-0'], env, persistent: false })
  const gateway = cluster.gateway('gw-0')
  const bystander = await Bystander.open(gateway)
  const senders = await loginMany(gateway, namesOf('sender', SENDERS))
  const { now: before } = memoryOf(gateway)

  process.kill(cluster.redis.pid, 'SIGSTOP')
  try {
    for (const [index, sender] of senders.entries()) {
      const sends = Array.from({ length: EACH }, (_, at) => buildSend(`to-${index}`, payload, { requestId: at + 1 }))
      for (const send of sends) void sender.sendRaw(encodeBinary(send))
    }
    await steady(gateway, 'im_frames_received_total', 'type="send"')
    assertSurvived(gateway)
    await assertPressure(gateway)
  } finally {
    process.kill(cluster.redis.pid, 'SIGCONT')
  }

  const accepted = (sender: RawClient) => sender.unread.filter(({ type }) => type === 'accepted').length
  await until('every send is accepted', () => senders.every((sender) => accepted(sender) === EACH), 2 * PATIENCE_MS)
  assertSurvived(gateway)
  t.diagnostic(`bystander: ${await bystander.stop()}`)
  await assertRelieved(gateway)
  t.diagnostic(describeMemory(gateway, before))

  // What was accepted is there.
  for (let index = 0; index < SENDERS; index += 40) {
    await using reader = await connectTcp(gateway.tcpUrl)
    await reader.login({ token: `1:to-${index}` })
    for (let seq = 1; seq <= EACH; seq++) assert.equal((await reader.next('message')).seq, seq)
  }
  for (const sender of senders) sender.destroy()
})
