import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import { connect } from './index.ts'
import { ScriptedGateway } from './test-gateway.ts'
import { buildOptions, nextEvent } from './test-kit.ts'

for (const kind of ['tcp', 'ws'] as const) {
  test(`over ${kind} it logs in with its token, device, version and start`, async () => {
    await using gateway = await ScriptedGateway.start(kind)
    await using client = connect(buildOptions(gateway.url, { version: '1.2.3', start: 'head' }))
    const connected = nextEvent(client, 'connected')
    const { login } = await gateway.admit({ brokerId: 'gw-7', connectionId: 'c9' })
    const { requestId, ...fields } = login
    assert.ok(requestId > 0)
    assert.deepEqual(fields, {
      type: 'login',
      token: '1:alice',
      clientType: 1,
      imei: 'phone-1',
      version: '1.2.3',
      epoch: '',
      seq: 0,
      start: 'head',
    })
    const { url: _, ...event } = await connected
    assert.deepEqual(event, { brokerId: 'gw-7', connectionId: 'c9', appId: 1, userId: 'alice', handOver: false })
    assert.ok(client.connected)
  })
}

test('over tls it trusts the given certificate, and no unknown one', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'im-client-'))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1']
  const made = spawnSync('openssl', [...args, '-keyout', key, '-out', cert, ...subject])
  assert.equal(made.status, 0, String(made.stderr))
  const ca = await readFile(cert, 'utf8')
  await using gateway = await ScriptedGateway.start('tls', { key: await readFile(key, 'utf8'), cert: ca })
  await rm(directory, { recursive: true })

  await using trusting = connect(buildOptions(gateway.url, { ca }))
  await gateway.admit()
  await trusting.ready()
  await using wary = connect(buildOptions(gateway.url))
  const { code, message } = await nextEvent(wary, 'disconnected')
  assert.equal(code, 'connect_failed')
  assert.match(message, /self-signed certificate/)
})

test('it moves on to the next url when one is away, and comes round again', async () => {
  await using gateway = await ScriptedGateway.start()
  await using gone = await ScriptedGateway.start()
  gone.stopListening()
  await using client = connect(buildOptions([gone.url, gateway.url]))
  const { code, advice, attempt } = await nextEvent(client, 'disconnected')
  assert.deepEqual({ code, advice, attempt }, { code: 'connect_failed', advice: 'reconnect', attempt: 1 })
  const first = await gateway.admit()
  await client.ready()
  first.destroy()
  await nextEvent(client, 'disconnected', ({ attempt }) => attempt === 1)
  await gateway.admit()
  await client.ready()
})

test('a login that takes too long is given up', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { connectTimeoutMs: 1_000 }))
  const silent = await gateway.connection()
  await silent.next('login')
  const { code } = await nextEvent(client, 'disconnected')
  assert.equal(code, 'connect_timeout')
  await silent.closed
  await gateway.admit()
  await client.ready()
})

for (const kind of ['tcp', 'ws'] as const) {
  test(`a process that stood still reads the answer to its login before it gives that up (${kind})`, async () => {
    await using gateway = await ScriptedGateway.start(kind)
    await using client = connect(buildOptions(gateway.url, { connectTimeoutMs: 3_000 }))
    const disconnects: string[] = []
    client.on('disconnected', ({ code }) => void disconnects.push(code))
    await gateway.admit()
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_500)
    await client.ready()
    assert.deepEqual([gateway.count, disconnects], [1, []])
  })
}

test('a peer that does not speak the protocol is left and tried again later', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  await using client = connect(buildOptions(`tcp://127.0.0.1:${address.port}`))
  assert.equal((await nextEvent(client, 'disconnected')).code, 'protocol_violation')
  assert.equal((await nextEvent(client, 'disconnected', ({ attempt }) => attempt === 2)).advice, 'reconnect')
  server.close()
})

test('a WebSocket server that speaks no subprotocol of ours is left and tried again later', async () => {
  const server = createHttpServer()
  const sockets = new WebSocketServer({ server, handleProtocols: () => false })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const received: unknown[] = []
  sockets.on('connection', (socket) => socket.on('message', (data) => received.push(data)))
  const client = connect(buildOptions(`ws://127.0.0.1:${address.port}`))
  const { code, advice } = await nextEvent(client, 'disconnected')
  assert.deepEqual({ code, advice }, { code: 'connect_failed', advice: 'reconnect' })
  await client.close()
  for (const socket of sockets.clients) socket.terminate()
  server.close()
  assert.deepEqual(received, [], 'the token went nowhere')
})

test('"do not reconnect" ends the client, and says which device did it', async () => {
  await using gateway = await ScriptedGateway.start('ws')
  await using client = connect(buildOptions(gateway.url))
  const connection = await gateway.admit()
  await client.ready()
  const send = client.send('bob', 'x')
  await connection.next('send')
  connection.close(4215, 2)
  const { code, by, clientType } = await nextEvent(client, 'closed')
  assert.deepEqual({ code, by, clientType }, { code: 'displaced', by: 'gateway', clientType: 2 })
  await assert.rejects(send, { code: 'displaced', outcome: 'unknown', retryable: false })
  await assert.rejects(client.send('bob', 'y'), { code: 'displaced', outcome: 'not-sent' })
  await assert.rejects(client.ready(), { code: 'displaced' })
  assert.equal(gateway.count, 1)
})

test('a code that this version does not know is acted on by its range', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const connection = await gateway.admit()
  connection.close(4099)
  const { code, advice } = await nextEvent(client, 'disconnected')
  assert.deepEqual({ code, advice }, { code: 'code_4099', advice: 'reconnect' })
  const second = await gateway.admit()
  second.close(4299)
  assert.equal((await client.closed).code, 'code_4299')
})

test('a refused login ends the client', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const ready = client.ready()
  const connection = await gateway.connection()
  await connection.next('login')
  connection.close(4209)
  await assert.rejects(ready, { code: 'token_invalid' })
  assert.equal(gateway.count, 1)
})

test('"reconnect elsewhere" goes to the next url without back-off', async () => {
  await using one = await ScriptedGateway.start()
  await using two = await ScriptedGateway.start()
  await using client = connect(buildOptions([one.url, two.url], { backoffBaseMs: 60_000, backoffCapMs: 60_000 }))
  const connection = await one.admit()
  connection.close(4100)
  const { advice, retryInMs } = await nextEvent(client, 'disconnected')
  assert.equal(advice, 'reconnect-elsewhere')
  assert.ok(retryInMs <= 100, `${retryInMs}`)
  await two.admit()
  await client.ready()
})

test('"reconnect elsewhere" from everywhere falls back to the back-off', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { backoffBaseMs: 1e9, backoffCapMs: 1e9 }))
  ;(await gateway.connection()).close(4102)
  ;(await gateway.connection()).close(4102)
  // One in ten million of all waits of up to a billion is as short as one without back-off.
  const { retryInMs } = await nextEvent(client, 'disconnected', ({ attempt }) => attempt === 2)
  assert.ok(retryInMs > 100, `${retryInMs}`)
})

test('back-off begins anew only after a connection that lasted', async () => {
  await using gateway = await ScriptedGateway.start()
  const hasty = connect(buildOptions(gateway.url, { backoffBaseMs: 1, backoffCapMs: 1_000_000, stableAfterMs: 60_000 }))
  const waits: number[] = []
  hasty.on('disconnected', ({ retryInMs }) => void waits.push(retryInMs))
  for (let n = 0; n < 9; n++) (await gateway.admit()).destroy()
  await nextEvent(hasty, 'disconnected')
  await hasty.close()
  // Waits of up to 1, 2, 4, … ms; with a base of 1 ms none would be over 1 if it began anew each time.
  assert.ok(
    waits.some((wait) => wait > 1),
    waits.join(),
  )
})

test('replaced by a login of its own that it had given up, it comes back; replaced by another, it does not', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { connectTimeoutMs: 1_000 }))
  const slow = await gateway.connection()
  await slow.next('login')
  const second = await gateway.admit()
  second.close(4214)
  const third = await gateway.admit()
  await client.ready()
  assert.ok(third.open)

  await using other = connect(buildOptions(gateway.url))
  const only = await gateway.admit()
  only.close(4214)
  assert.equal((await other.closed).code, 'replaced')
})

function wrong(more: object, pattern: RegExp): void {
  assert.throws(() => connect({ ...buildOptions('tcp://h:1'), ...more }), { code: 'option_invalid', message: pattern })
}

test('a client with wrong options is not made, and the error names the option', () => {
  wrong({ urls: [] }, /urls/)
  wrong({ urls: 'http://h' }, /http:\/\/h.*ws:\/\//)
  wrong({ urls: 'nonsense' }, /nonsense/)
  wrong({ token: '' }, /token/)
  wrong({ device: { clientType: 'fridge', imei: 'x' } }, /clientType/)
  wrong({ maxInFlight: 0 }, /maxInFlight/)
  wrong({ sendTimeoutMs: 600_000 }, /300000/)
  wrong({ urls: 'wss://h', ca: 'x' }, /NODE_EXTRA_CA_CERTS/)
})
