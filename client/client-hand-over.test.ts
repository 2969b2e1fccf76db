import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { connect } from './index.ts'
import { ScriptedGateway, type ScriptedConnection } from './test-gateway.ts'
import { buildOptions, Collector, nextEvent, roundTrip } from './test-kit.ts'

const goAway = (delayMs: number, deadlineMs = 60_000) => ({ type: 'goAway', delayMs, deadlineMs }) as const

test('told to go away, it opens the new connection first, at the next url, and goes on where it was', async () => {
  await using one = await ScriptedGateway.start()
  await using two = await ScriptedGateway.start('ws')
  await using client = connect(buildOptions([one.url, two.url]))
  const collector = new Collector(client)
  const disconnects: string[] = []
  client.on('disconnected', ({ code }) => void disconnects.push(code))
  const old = await one.admit()
  old.message(1)
  await collector.until(1)
  old.send(goAway(20))
  const next = await two.connection()
  const login = await next.next('login')
  assert.deepEqual([login.imei, login.epoch, login.seq], ['phone-1', 'e1', 1])
  assert.ok(old.open)
  // The old one still counts until the new one is there, and what both bring comes once.
  old.message(2)
  await collector.until(2)
  const connected = nextEvent(client, 'connected')
  next.send({ ...buildGrant(login.requestId), brokerId: 'gw-1' })
  next.message(2)
  next.message(3)
  await collector.until(3)
  assert.deepEqual(collector.seqs, [1, 2, 3])
  const { brokerId, handOver } = await connected
  assert.deepEqual({ brokerId, handOver }, { brokerId: 'gw-1', handOver: true })
  await old.closed
  assert.deepEqual(disconnects, [])
})

test('what the old connection brought is acknowledged over the new one once that has brought it too', async () => {
  await using one = await ScriptedGateway.start()
  await using two = await ScriptedGateway.start()
  await using client = connect(buildOptions([one.url, two.url], { ackDelayMs: 1 }))
  const collector = new Collector(client)
  const old = await one.admit({ seq: 1, head: 1 })
  old.message(2)
  await collector.until(1)
  old.send(goAway(0))
  const next = await two.connection()
  const { requestId, seq } = await next.next('login')
  assert.equal(seq, 2)
  old.message(3)
  await collector.until(2)
  next.send({ ...buildGrant(requestId), seq: 2 })
  await roundTrip(client, next)
  assert.equal((await next.next('ack')).seq, 2)
  assert.deepEqual(next.waiting, [])
  next.message(3)
  assert.equal((await next.next('ack')).seq, 3)
})

test('being replaced on the old connection by its own new login is not an end', async () => {
  await using one = await ScriptedGateway.start()
  await using two = await ScriptedGateway.start()
  await using client = connect(buildOptions([one.url, two.url]))
  const disconnects: string[] = []
  client.on('disconnected', ({ code }) => void disconnects.push(code))
  const old = await one.admit()
  await client.ready()
  old.send(goAway(0))
  const next = await two.connection()
  const login = await next.next('login')
  // The old gateway is quicker than the new one.
  old.close(4214)
  await old.closed
  const connected = nextEvent(client, 'connected')
  next.send(buildGrant(login.requestId))
  assert.equal((await connected).handOver, true)
  assert.deepEqual(disconnects, [])
  assert.ok(client.connected)
})

for (const [what, fail] of [
  ['refused', (next) => next.close(4100)],
  ['cut off', (next) => next.destroy()],
] satisfies [string, (next: ScriptedConnection) => void][]) {
  test(`being replaced by a login of its own that was ${what} after it took effect is not an end`, async () => {
    await using one = await ScriptedGateway.start()
    await using two = await ScriptedGateway.start()
    // Says nothing to a TLS handshake: an attempt that holds no login.
    await using stack = new AsyncDisposableStack()
    const silent = createServer((socket) => stack.defer(() => void socket.destroy())).listen(0, '127.0.0.1')
    stack.defer(() => void silent.close())
    await once(silent, 'listening')
    const silentUrl = `tls://127.0.0.1:${(silent.address() as AddressInfo).port}`
    await using client = connect(buildOptions([one.url, two.url, silentUrl]))
    const old = await one.admit()
    await client.ready()
    old.send(goAway(0))
    const next = await two.connection()
    await next.next('login')
    const trying = once(silent, 'connection')
    fail(next)
    const [attempt] = (await trying) as [Socket]
    const disconnected = nextEvent(client, 'disconnected')
    old.close(4214)
    assert.equal((await disconnected).code, 'replaced')
    attempt.destroy()
    await one.admit()
    await client.ready()
  })
}

test('displaced in the middle of a hand-over, it ends', async () => {
  await using one = await ScriptedGateway.start()
  await using two = await ScriptedGateway.start()
  await using client = connect(buildOptions([one.url, two.url]))
  const old = await one.admit()
  old.send(goAway(0))
  const next = await two.connection()
  await next.next('login')
  old.close(4215, 1)
  assert.equal((await client.closed).code, 'displaced')
  await next.closed
})

test('sends in flight on the old connection are awaited there, and others to the same recipient wait for them', async () => {
  await using one = await ScriptedGateway.start()
  await using two = await ScriptedGateway.start()
  await using client = connect(buildOptions([one.url, two.url]))
  const old = await one.admit()
  const first = client.send('bob', 'one')
  const inFlight = await old.next('send')
  const connected = nextEvent(client, 'connected', ({ handOver }) => handOver)
  old.send(goAway(0))
  const next = await two.admit()
  await connected
  const second = client.send('bob', 'two')
  const third = client.send('carol', 'three')
  assert.equal((await next.accept(1)).to, 'carol')
  await third
  assert.deepEqual(next.waiting, [])
  old.send({ type: 'accepted', requestId: inFlight.requestId, seq: 1, sentAt: 1, duplicate: false })
  assert.equal((await first).seq, 1)
  assert.equal((await next.accept(2)).to, 'bob')
  await second
  await old.closed
})

test('sends in flight on an old connection that ends are repeated on the new one, in order', async () => {
  await using one = await ScriptedGateway.start()
  await using two = await ScriptedGateway.start()
  await using client = connect(buildOptions([one.url, two.url]))
  const old = await one.admit()
  const sends = [client.send('bob', 'one'), client.send('bob', 'two')]
  const ids = [(await old.next('send')).messageId, (await old.next('send')).messageId]
  old.send(goAway(0))
  const next = await two.admit()
  await nextEvent(client, 'connected')
  old.close(4214)
  assert.deepEqual([(await next.accept(1, true)).messageId, (await next.accept(2)).messageId], ids)
  await Promise.all(sends)
})

test('when no other gateway is up it stays until the old connection ends, and tries on', async () => {
  await using one = await ScriptedGateway.start()
  await using two = await ScriptedGateway.start()
  two.stopListening()
  one.stopListening()
  await using client = connect(buildOptions([one.url, two.url]))
  await nextEvent(client, 'disconnected')
  await using back = await ScriptedGateway.start()
  await using mover = connect(buildOptions([back.url, two.url]))
  const disconnects: string[] = []
  mover.on('disconnected', ({ code }) => void disconnects.push(code))
  const old = await back.admit()
  await mover.ready()
  old.send(goAway(0))
  // The next url is down; it falls back to the same one, where another gateway may answer.
  const next = await back.admit()
  await old.closed
  assert.ok(next.open)
  assert.deepEqual(disconnects, [])
})

test('an old connection that dies before its time to go cuts the wait short', async () => {
  await using one = await ScriptedGateway.start()
  await using two = await ScriptedGateway.start()
  await using client = connect(buildOptions([one.url, two.url]))
  const old = await one.admit()
  await client.ready()
  old.send(goAway(50_000, 60_000))
  await roundTrip(client, old)
  old.destroy()
  await two.admit()
  await client.ready()
})

test('a connection from which nothing comes any more is replaced', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { heartbeatTimeoutMs: 1_000 }))
  const first = await gateway.connection()
  first.pongs = false
  await first.admit({ heartbeatMs: 100 })
  assert.equal((await nextEvent(client, 'disconnected')).code, 'heartbeat_timeout')
  await first.closed
  assert.ok(first.pings > 0)
  await gateway.admit()
  await client.ready()
})

test('anything that comes keeps a connection alive, not only the answer to a ping', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { heartbeatTimeoutMs: 2_000 }))
  const connection = await gateway.connection()
  connection.pongs = false
  await connection.admit({ heartbeatMs: 50 })
  const chatter = setInterval(() => connection.send({ type: 'ping' }), 20)
  while (connection.pings < 60) await connection.next('pong')
  clearInterval(chatter)
  assert.ok(client.connected)
  assert.equal(gateway.count, 1)
})

test('a process that stood still reads what came meanwhile before it gives the connection up', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { heartbeatTimeoutMs: 1_000 }))
  const connection = await gateway.connection()
  connection.pongs = false
  await connection.admit({ heartbeatMs: 50 })
  await client.ready()
  while (connection.pings === 0) await setImmediate()
  connection.pongs = true
  connection.send({ type: 'ping' })
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500)
  await connection.next('pong')
  assert.ok(client.connected)
  assert.equal(gateway.count, 1)
})

function buildGrant(requestId: number) {
  return {
    type: 'loggedIn',
    requestId,
    appId: 1,
    userId: 'alice',
    connectionId: 'c',
    brokerId: 'gw-0',
    epoch: 'e1',
    seq: 1,
    head: 1,
    heartbeatMs: 60_000,
    expiresAt: 0,
    maxFrameBytes: 65_536,
  } as const
}
