import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { buildSend, textOf } from '../../test/kit/raw-client.ts'
import { codes } from '../../protocol/codes.ts'
import { subprotocols } from '../../protocol/frames.ts'
import { eventually, loginTcp, openBench, readMetric, SECRET, type TestBench } from '../test-bench.ts'

const used = (kind: string) => readMetric(gateway, `im_memory_used_bytes{kind="${kind}"}`)
const payload = SECRET.padEnd(60_000, '.')

let bench: TestBench
let gateway: GatewayProcess

before(async () => {
  bench = await openBench()
  gateway = await bench.start('gw-0', {
    // Room for some thirty of the largest frames.
    MEMORY_BUDGET_BYTES: '4000000',
    FRAME_TIMEOUT_MS: '400',
    SLOW_CONSUMER_TIMEOUT_MS: '1000',
    REDIS_TIMEOUT_MS: '30000',
  })
})

after(() => bench[Symbol.asyncDispose]())

test('what is held of a send is counted until it is answered, and given back', async () => {
  await using alice = await loginTcp(gateway, { token: '1:alice' })
  process.kill(bench.redis.pid, 'SIGSTOP')
  try {
    alice.send(buildSend('nobody', payload))
    await eventually(
      () => used('received'),
      (bytes) => bytes > payload.length,
      'bytes of a send in flight',
    )
  } finally {
    process.kill(bench.redis.pid, 'SIGCONT')
  }
  await alice.next('accepted')
  await eventually(
    () => used('received'),
    (bytes) => bytes === 0,
    'bytes given back',
  )
})

test('a connection that ends gives back what it held', async () => {
  const alice = await loginTcp(gateway, { token: '1:alice' })
  await alice.sendRaw(Uint8Array.of(0, 0, 200, 0, 1, 4, 1, 2, 3))
  // The frame is charged in full from when its length is known.
  await eventually(
    () => used('received'),
    (bytes) => bytes > 100_000,
    'bytes of a frame that was begun',
  )
  alice.destroy()
  await eventually(
    () => used('received'),
    (bytes) => bytes === 0,
    'bytes given back',
  )
})

test('a WebSocket message that is not finished ends the connection in time', async () => {
  const { hostname, port } = new URL(gateway.wsUrl)
  const socket = connect(Number(port), hostname)
  const lines = ['GET / HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
  const keys = ['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', `Sec-WebSocket-Protocol: ${subprotocols.binary}`]
  socket.write([...lines, ...keys, '', ''].join('\r\n'))
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'data')
  // A frame of 60,000 bytes, of which six come.
  socket.write(Buffer.from([130, 254, 60_000 >> 8, 60_000 & 255, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
  const [ended] = (await Promise.race([once(socket, 'close'), delay(20_000, ['late'], { ref: false })])) as [unknown]
  assert.notEqual(ended, 'late')
  const code = codes.frame_timeout.code
  assert.ok(Buffer.concat(chunks).includes(Buffer.from([code >> 8, code & 255])), 'closed with frame_timeout')
})

test('a client that reads is not closed as slow because others use up the memory', async () => {
  await using bob = await loginTcp(gateway, { token: '1:bob' })
  await using alice = await loginTcp(gateway, { token: '1:alice', imei: 'other' })
  const hogs = await Promise.all(
    Array.from({ length: 40 }, (_, index) => loginTcp(gateway, { token: `1:hog-${index}` })),
  )
  // Frames that never end, again as soon as the time-out has closed them; so memory is short most of the time.
  const begun = Buffer.concat([Uint8Array.of(0, 0, 250, 0, 1, 4), Buffer.alloc(50_000)])
  for (const hog of hogs) void hog.sendRaw(begun)
  await eventually(
    () => readMetric(gateway, 'im_memory_pressure'),
    (value) => value === 1,
    'pressure',
  )
  for (let seq = 1; seq <= 20; seq++) {
    alice.send(buildSend('bob', `${seq} ${payload}`, { requestId: seq }))
    await alice.next('accepted', ({ requestId }) => requestId === seq)
    const message = await bob.next('message')
    assert.equal(message.seq, seq)
    assert.equal(textOf(message).split(' ', 1)[0], String(seq))
  }
  await bob.sync()
  assert.ok(bob.open && alice.open)
  for (const hog of hogs) hog.destroy()
})
