import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { buildSend, connectTcp, connectWebSocket, textOf, type RawClient } from '../../test/kit/raw-client.ts'
import { subprotocols } from '../../protocol/frames.ts'
import { eventually, loginTcp, openBench, readMetric, SECRET, type TestBench } from '../test-bench.ts'

const pauses = 'im_slow_consumer_pauses_total'
const delivered = 'im_messages_delivered_total{kind="durable"}'
const connections = 'im_connections{transport="tcp"}'
const dropped = 'im_transient_dropped_total{reason="slow_consumer"}'
/** Nearly as large as it may be, so that few fill the buffers of the system. */
const payload = SECRET.padEnd(60_000, '.')

let bench: TestBench
let gateway: GatewayProcess

before(async () => {
  bench = await openBench()
  gateway = await bench.start('gw-0', { SLOW_CONSUMER_TIMEOUT_MS: '300000', MAX_BUFFERED_BYTES: '65536' })
})

after(() => bench[Symbol.asyncDispose]())

/** Sends durable messages, one after the other, until `enough`; returns how many. */
async function sendUntil(from: RawClient, to: string, enough: () => Promise<boolean>): Promise<number> {
  for (let seq = 1; ; seq++) {
    assert.ok(seq < 1_000, `${to} has been sent ${seq * payload.length} bytes and still counts as reading`)
    from.send(buildSend(to, `${seq} ${payload}`, { requestId: seq }))
    assert.equal((await from.next('accepted')).seq, seq)
    if (await enough()) return seq
  }
}

async function assertInOrder(client: RawClient, count: number, from = 1): Promise<void> {
  for (let seq = from; seq < from + count; seq++) {
    const message = await client.next('message')
    assert.equal(message.seq, seq)
    assert.equal(textOf(message).split(' ', 1)[0], String(seq))
  }
}

/** TCP connections that the process holds on its TCP port, told to end or not. */
async function countSockets({ pid, tcpUrl }: GatewayProcess): Promise<number> {
  const port = Number(new URL(tcpUrl).port).toString(16).toUpperCase().padStart(4, '0')
  const table = await readFile(`/proc/${pid}/net/tcp`, 'utf8')
  return table.split('\n').filter((line) => new RegExp(`:${port} [0-9A-F]+:[0-9A-F]{4} 01 `).test(line)).length
}

const ways = {
  tcp: () => connectTcp(gateway.tcpUrl),
  binary: () => connectWebSocket(gateway.wsUrl, { subprotocol: subprotocols.binary }),
  json: () => connectWebSocket(gateway.wsUrl),
}
for (const [way, connect] of Object.entries(ways)) {
  test(`over ${way}: a client that stops reading holds up nobody, and later gets everything in order, once`, async () => {
    const user = `slow-${way}`
    await using alice = await loginTcp(gateway, { token: `1:alice-${way}` })
    await using slow = await connect()
    await slow.login({ token: `1:${user}` })
    slow.pause()
    const before = { pauses: await readMetric(gateway, pauses), dropped: await readMetric(gateway, dropped) }
    // The system's own buffers may still take something: until they do not any more.
    const last = { delivered: -1, times: 0 }
    const full = await sendUntil(alice, user, async () => {
      const now = await readMetric(gateway, delivered)
      last.times = now === last.delivered ? last.times + 1 : 0
      last.delivered = now
      return last.times >= 10 && (await readMetric(gateway, pauses)) > before.pauses
    })

    // What comes now waits in the stream: it is written for the user's other device only.
    await using other = await loginTcp(gateway, { token: `1:${user}`, imei: 'other' })
    await assertInOrder(other, full)
    // The other device may have paused, too, while it caught up.
    const paused = await readMetric(gateway, pauses)
    const deliveredBefore = await readMetric(gateway, delivered)
    const sent = full + 50
    for (let seq = full + 1; seq <= sent; seq++) {
      alice.send(buildSend(user, `${seq} ${payload}`))
      await alice.next('accepted')
      await assertInOrder(other, 1, seq)
    }
    assert.equal((await readMetric(gateway, delivered)) - deliveredBefore, 50)
    alice.send(buildSend(user, SECRET, { durable: false }))
    assert.equal((await other.next('message')).seq, 0)
    assert.equal((await readMetric(gateway, dropped)) - before.dropped, 1)
    assert.equal(await readMetric(gateway, pauses), paused)

    slow.resume()
    await assertInOrder(slow, sent)
    // From now on it gets what comes as it comes again.
    alice.send(buildSend(user, `${sent + 1} ${payload}`))
    await assertInOrder(slow, 1, sent + 1)
    alice.send(buildSend(user, SECRET, { durable: false }))
    assert.equal((await slow.next('message')).seq, 0)
    await slow.sync()
    assert.deepEqual(slow.unread, [])
  })
}

test('a client that is stuck too long is closed, and its device gets the rest over another connection', async () => {
  const strict = await bench.start('gw-1', { SLOW_CONSUMER_TIMEOUT_MS: '300', MAX_BUFFERED_BYTES: '65536' })
  await using alice = await loginTcp(strict, { token: '1:alice' })
  await using stuck = await loginTcp(strict, { token: '1:stuck' })
  stuck.pause()
  const closes = 'im_closes_total{code="slow_consumer"}'
  const sent = await sendUntil(alice, 'stuck', async () => (await readMetric(strict, closes)) === 1)
  assert.equal(await readMetric(strict, connections), 1)
  // It never lets go by itself either.
  await eventually(
    () => countSockets(strict),
    (count) => count === 1,
    'sockets held',
  )

  await using again = await loginTcp(strict, { token: '1:stuck' })
  await assertInOrder(again, sent)
})

test('a client that reads slowly, but never stands still for too long, is not closed', async () => {
  const patient = await bench.start('gw-2', { SLOW_CONSUMER_TIMEOUT_MS: '12000', MAX_BUFFERED_BYTES: '65536' })
  await using alice = await loginTcp(patient, { token: '1:alice' })
  await using slow = await loginTcp(patient, { token: '1:slow' })
  slow.pause()
  const full = await sendUntil(alice, 'slow', async () => (await readMetric(patient, pauses)) > 0)
  const sent = full + 150
  for (let seq = full + 1; seq <= sent; seq++) {
    alice.send(buildSend('slow', `${seq} ${payload}`))
    await alice.next('accepted')
  }
  const bite = (sent * payload.length) / 20
  for (let read = bite; read < sent * payload.length; read += bite) {
    slow.resume()
    await eventually(
      () => slow.receivedBytes,
      (bytes) => bytes >= read,
      'bytes read',
    )
    slow.pause()
    // Much less than the time-out each time, and more than it altogether.
    await delay(700)
  }
  slow.resume()
  await assertInOrder(slow, sent)
  await slow.sync()
})

test('a client that does not read its answers is not read from, and gets them all when it reads', async () => {
  const requests = 1_500
  await using greedy = await loginTcp(gateway, { token: '1:greedy' })
  await using other = await loginTcp(gateway, { token: '1:polite' })
  const handled = () => readMetric(gateway, 'im_frames_received_total{type="presence"}')
  greedy.pause()
  const userIds = Array.from({ length: 100 }, () => 'u'.repeat(128))
  for (let requestId = 1; requestId <= requests; requestId++) greedy.send({ type: 'presence', requestId, userIds })
  let before: number
  let after = await handled()
  do {
    before = after
    for (let round = 0; round < 20; round++) await other.sync()
    await delay(100)
    after = await handled()
  } while (after === 0 || after > before)
  assert.ok(after < requests, `${after} requests were handled`)

  greedy.resume()
  const answered = new Set<number>()
  while (answered.size < requests) answered.add((await greedy.next('presenceState')).requestId)
  assert.equal(await handled(), requests)
  assert.deepEqual(greedy.unread, [])
})
