import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { connectWebSocket, buildSend, type RawClient } from '../../test/kit/raw-client.ts'
import { encodeBinary } from '../../protocol/binary.ts'
import { subprotocols } from '../../protocol/frames.ts'
import { eventually, loginTcp, openBench, readMetric, SECRET, type TestBench } from '../test-bench.ts'

let bench: TestBench

before(async () => {
  bench = await openBench()
})

after(() => bench[Symbol.asyncDispose]())

/** Writes many sends as one piece, so that they arrive all at once. */
function sendAtOnce(client: RawClient, to: string, count: number): void {
  const frames = Array.from({ length: count }, (_, index) =>
    encodeBinary(buildSend(to, `${SECRET} ${index}`, { requestId: index + 1 })),
  )
  void client.sendRaw(Buffer.concat(frames))
}

async function takeAccepted(client: RawClient, count: number): Promise<void> {
  const [requestIds, seqs] = [new Set<number>(), new Set<number>()]
  for (let index = 0; index < count; index++) {
    const { requestId, seq, duplicate } = await client.next('accepted')
    assert.equal(duplicate, false)
    requestIds.add(requestId)
    seqs.add(seq)
  }
  assert.equal(requestIds.size, count)
  assert.deepEqual([Math.min(...seqs), Math.max(...seqs), seqs.size], [1, count, count])
  assert.deepEqual(client.unread, [])
}

test('more sends than may be in flight are all answered, each once', async () => {
  const gateway = await bench.start('gw-0', { MAX_IN_FLIGHT_SENDS: '4' })
  await using bob = await loginTcp(gateway, { token: '1:bob' })
  await using tcp = await loginTcp(gateway, { token: '1:alice' })
  sendAtOnce(tcp, 'bob', 500)
  await takeAccepted(tcp, 500)
  for (let seq = 1; seq <= 500; seq++) assert.equal((await bob.next('message')).seq, seq)

  await using webSocket = await connectWebSocket(gateway.wsUrl, { subprotocol: subprotocols.binary })
  await webSocket.login({ token: '1:alice', imei: 'browser' })
  sendAtOnce(webSocket, 'carol', 500)
  await takeAccepted(webSocket, 500)
})

test('no more is read while as many sends as may be are in flight', async () => {
  const gateway = await bench.start('gw-1', { MAX_IN_FLIGHT_SENDS: '4', IDLE_TIMEOUT_MS: '60000' })
  const received = () => readMetric(gateway, 'im_frames_received_total{type="send"}')
  await using alice = await loginTcp(gateway, { token: '1:alice' })
  await using other = await loginTcp(gateway, { token: '1:other' })
  // Redis keeps whoever writes waiting.
  process.kill(bench.redis.pid, 'SIGSTOP')
  try {
    sendAtOnce(alice, 'dave', 100)
    await eventually(received, (count) => count >= 4, 'sends read')
    for (let round = 0; round < 100; round++) await other.sync()
    assert.equal(await received(), 4)
  } finally {
    process.kill(bench.redis.pid, 'SIGCONT')
  }
  await takeAccepted(alice, 100)
  assert.equal(await received(), 100)
})

test('frames over the rate are delayed, not refused, and delay nobody else', async () => {
  const gateway = await bench.start('gw-2', { MAX_FRAMES_PER_SECOND: '100' })
  await using fast = await loginTcp(gateway, { token: '1:fast' })
  await using other = await loginTcp(gateway, { token: '1:other' })
  const count = 1_000
  const ping = encodeBinary({ type: 'ping' })
  const start = performance.now()
  void fast.sendRaw(Buffer.concat(Array.from({ length: count }, () => ping)))
  const all = (async () => {
    for (let index = 0; index < count; index++) await fast.next('pong')
    return performance.now() - start
  })()
  // While the fast one waits for its last answers the other gets its own.
  await fast.next('pong')
  for (let round = 0; round < 20; round++) await other.sync()
  const answered = await Promise.race([all, Promise.resolve('not yet')])
  assert.equal(answered, 'not yet')
  fast.send({ type: 'ping' })
  // Two seconds' worth is free at once; the rest takes its eight seconds.
  assert.ok((await all) > 7_900)
  assert.equal(await readMetric(gateway, 'im_frames_received_total{type="ping"}'), count + 21)
  await fast.sync()
})
