import assert from 'node:assert/strict'
import { it } from 'node:test'
import { buildSend } from '../kit/raw-client.ts'
import {
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
import { PATIENCE_MS, until } from '../kit/wait.ts'

const PAIRS = 40
/** How long all may take after NATS is back: far less than the slow round, which looks at one user in a second. */
const BACK_MS = 20_000
const payload = 'm'.repeat(60_000)
const env = { ...smallContainer, IM_VERIFY_ROUND_MS: '600000' }

for (const long of [false, true]) {
  // For a moment: so few that all are accepted before the server is given up.
  const each = long ? 75 : 20
  const name = `NATS stands still ${long ? 'until it is given up' : 'for a moment'}: memory stays, and all arrives`
  it(name, { skip: untold }, async (t) => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env, persistent: false })
    const [from, to] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
    const bystander = await Bystander.open(from)
    const readers = await loginMany(to, namesOf('reader', PAIRS))
    const senders = await loginMany(from, namesOf('sender', PAIRS))
    const { now: before } = memoryOf(from)

    process.kill(cluster.nats.pid, 'SIGSTOP')
    try {
      const sending = senders.map(async (sender, index) => {
        for (let seq = 1; seq <= each; seq++) {
          sender.send(buildSend(`reader-${index}`, payload, { requestId: seq }))
          assert.equal((await sender.next('accepted', ({ requestId }) => requestId === seq)).seq, seq)
        }
      })
      // Transient ones are of use at once or never.
      senders[0]?.send(buildSend('reader-0', payload, { requestId: 1_000, durable: false, messageId: '' }))
      await Promise.all(sending)
      assertSurvived(from)
      if (long) await from.waitForLog(({ msg }) => msg === 'NATS is away', PATIENCE_MS)
      const left = await metric(from, 'im_left_to_inbox_total', 'by="bus"')
      const lost = await metric(from, 'im_bus_dropped_total', 'type="push"')
      assert.ok(left + lost > 0)
      if (!long || left > 0) await from.waitForLog(({ msg }) => String(msg).startsWith('NATS does not take'), 1_000)
      if (long) {
        senders[0]?.send(buildSend('reader-0', payload, { requestId: 1_001, durable: false, messageId: '' }))
        await until('it is dropped', async () => (await metric(from, 'im_transient_dropped_total')) > 0)
      }
    } finally {
      process.kill(cluster.nats.pid, 'SIGCONT')
    }

    const back = performance.now()
    for (const reader of readers) {
      for (let seq = 1; seq <= each;) {
        const message = await reader.next('message')
        if (message.seq === 0) continue
        assert.equal(message.seq, seq)
        seq += 1
      }
    }
    assert.ok(performance.now() - back < BACK_MS, 'everything arrives because NATS is back')
    for (const gateway of cluster.gateways) assertSurvived(gateway)
    t.diagnostic(`bystander: ${await bystander.stop()}`)
    await assertRelieved(from)
    t.diagnostic(describeMemory(from, before))
    for (const client of [...readers, ...senders]) client.destroy()
  })
}
