import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { createCertificateFiles, type CertificateFiles } from '../../test/kit/certificate.ts'
import type { GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { buildSend, connectTcp, connectWebSocket, type RawClient } from '../../test/kit/raw-client.ts'
import { eventually, openBench, readMetric, SECRET, startWitnesses, type TestBench } from '../test-bench.ts'

const SILENT = 10_000
/** Connections of the flood that are being opened at the same time. */
const AT_ONCE = 200
const MAX_PENDING = 1_000
const loginTimeouts = 'im_closes_total{code="login_timeout"}'

let bench: TestBench
let files: CertificateFiles

before(async () => {
  bench = await openBench()
  files = await createCertificateFiles()
})

after(async () => {
  await bench[Symbol.asyncDispose]()
  await files[Symbol.asyncDispose]()
})

/** Opens a connection, says `words` and nothing more. Resolves when it is connected; counts in `ended` when it has ended. */
function openSilent(url: string, words: Uint8Array | string, ended: { count: number }): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const socket = connect(Number(new URL(url).port), '127.0.0.1', () => {
    if (words.length > 0) socket.write(words)
    socket.resume()
    resolve(socket)
  })
  socket.on('error', reject)
  socket.on('close', () => (ended.count += 1))
  return promise
}

/** What somebody says who never gets to the login. */
const manners = (gateway: GatewayProcess): readonly { url: string; words: string }[] => [
  { url: gateway.tcpUrl, words: '' },
  // Half an upgrade, and a whole one.
  { url: gateway.wsUrl, words: 'GET / HTTP/1.1\r\nHost: im\r\n' },
  {
    url: gateway.wsUrl,
    words:
      'GET / HTTP/1.1\r\nHost: im\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  },
]

/** Logs in as a client does: one that is closed before it is logged in tries again, which `late` counts. */
async function loginWithRetries(
  open: () => Promise<RawClient>,
  token: string,
  late: { count: number },
): Promise<RawClient> {
  for (let tries = 1; ; tries++) {
    const client = await open()
    try {
      await client.login({ token })
      return client
    } catch (error) {
      if (tries === 50 || (await client.waitForEnd()).name !== 'login_timeout') throw error
      late.count += 1
    }
  }
}

async function countFiles({ pid }: GatewayProcess): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length
}

test('10,000 connections that never log in keep nobody out and go away', async () => {
  const gateway = await bench.start('gw-0', { LOGIN_TIMEOUT_MS: '5000', MAX_PENDING_LOGINS: String(MAX_PENDING) })
  const witnesses = await startWitnesses(gateway, {
    names: ['witness-1', 'witness-2'],
    tcp: { token: '1:witness-1' },
    webSocket: { token: '1:witness-2' },
  })
  const memory = () => readMetric(gateway, 'process_resident_memory_bytes')
  const [memoryBefore, filesBefore] = [await memory(), await countFiles(gateway)]

  const ended = { count: 0 }
  const ways = manners(gateway)
  let opened = 0
  const open = async (): Promise<void> => {
    while (opened < SILENT) {
      const way = ways[opened % ways.length]
      opened += 1
      assert.ok(way)
      await openSilent(way.url, way.words, ended)
    }
  }
  const flood = Promise.all(Array.from({ length: AT_ONCE }, open))

  // Meanwhile others log in and exchange messages, and the gateway holds no more than it may.
  const late = { count: 0 }
  let logins = 0
  let most = { pending: 0, files: 0, memory: 0 }
  for (;;) {
    const alice = await loginWithRetries(() => connectTcp(gateway.tcpUrl), `1:alice-${logins}`, late)
    const bob = await loginWithRetries(() => connectWebSocket(gateway.wsUrl), `1:bob-${logins}`, late)
    alice.send(buildSend(`bob-${logins}`, SECRET))
    await alice.next('accepted')
    assert.equal((await bob.next('message')).seq, 1)
    alice.destroy()
    bob.destroy()
    logins += 1
    most = {
      pending: Math.max(most.pending, await readMetric(gateway, 'im_pending_logins')),
      files: Math.max(most.files, await countFiles(gateway)),
      memory: Math.max(most.memory, await memory()),
    }
    if (opened === SILENT) break
  }
  await flood

  await eventually(
    () => ended.count,
    (count) => count === SILENT,
    'silent connections that ended',
  )
  await eventually(
    () => readMetric(gateway, 'im_pending_logins'),
    (count) => count === 0,
    'im_pending_logins',
  )
  // Whoever was the oldest without a login, or too slow with it, counts as well.
  assert.equal(await readMetric(gateway, loginTimeouts), SILENT + late.count)
  assert.ok(most.pending > AT_ONCE, `the flood was none: ${most.pending} pending at most`)
  assert.ok(most.pending <= MAX_PENDING, `${most.pending} pending`)
  // Twice, because a connection that was told to close may take a moment to let go.
  assert.ok(most.files - filesBefore <= 2 * MAX_PENDING, `${most.files} open files`)
  const grown = (most.memory - memoryBefore) / 1_048_576
  assert.ok(grown < 200, `${grown} MiB more memory`)
  await witnesses.stop()
})

test('a silent peer that does not hang up when it is told to holds no socket for that', async () => {
  const gateway = await bench.start('gw-4', { MAX_PENDING_LOGINS: '10' })
  const filesBefore = await countFiles(gateway)
  const toldToEnd = { count: 0 }
  // All together: what lingers would do so for two seconds.
  const sockets = Array.from({ length: 60 }, () => {
    const port = Number(new URL(gateway.tcpUrl).port)
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.once('end', () => (toldToEnd.count += 1))
    socket.on('error', () => undefined)
    return socket.resume()
  })
  await eventually(
    () => toldToEnd.count,
    (count) => count === 50,
    'peers told to end',
  )
  // Some room for what comes and goes.
  const held = (await countFiles(gateway)) - filesBefore
  assert.ok(held <= 15, `${held} sockets for 10 pending logins`)
  for (const socket of sockets) socket.destroy()
})

test('TLS handshakes never finished count as well', async () => {
  const { certFile, keyFile } = files
  const gateway = await bench.start('gw-1', {
    TLS_CERT_FILE: certFile,
    TLS_KEY_FILE: keyFile,
    MAX_PENDING_LOGINS: '10',
    LOGIN_TIMEOUT_MS: '4000',
  })
  const ended = { count: 0 }
  // Nothing, or the begin of a hello.
  for (const url of [gateway.tcpUrl, gateway.wsUrl]) {
    for (const words of ['', Uint8Array.of(0x16, 0x03, 0x01)]) {
      for (let index = 0; index < 5; index++) await openSilent(url, words, ended)
    }
  }
  await eventually(
    () => ended.count,
    (count) => count >= 10,
    'the oldest that ended',
  )
  assert.ok((await readMetric(gateway, 'im_pending_logins')) <= 10)
  const client = await connectTcp(gateway.tcpUrl, { ca: files.cert })
  await client.login({ token: '1:alice' })
  await eventually(
    () => ended.count,
    (count) => count === 20,
    'all that ended',
  )
  await client.sync()
  assert.equal(await readMetric(gateway, 'im_pending_logins'), 0)
  client.destroy()
})

test('a connection whose login is under way is in time, and one that is only connected is not', async () => {
  const gateway = await bench.start('gw-2', { LOGIN_TIMEOUT_MS: '3000' })
  const late = await connectTcp(gateway.tcpUrl)
  const inTime = await connectTcp(gateway.tcpUrl)
  await inTime.login({ token: '1:alice' })
  assert.equal((await late.waitForEnd()).name, 'login_timeout')
  await inTime.sync()
  inTime.destroy()
})

test('connections over the maximum are told to go elsewhere', async () => {
  const gateway = await bench.start('gw-3', { MAX_CONNECTIONS: '2' })
  const first = await connectTcp(gateway.tcpUrl)
  await first.login({ token: '1:alice' })
  const second = await connectWebSocket(gateway.wsUrl)
  await second.login({ token: '1:bob' })
  const third = await connectTcp(gateway.tcpUrl)
  assert.equal((await third.waitForEnd()).name, 'too_many_connections')
  const fourth = await connectWebSocket(gateway.wsUrl)
  const ending = await fourth.waitForEnd()
  assert.deepEqual([ending.name, ending.code], ['too_many_connections', 4102])
  assert.equal(await readMetric(gateway, 'im_closes_total{code="too_many_connections"}'), 2)

  // A place becomes free.
  second.destroy()
  await eventually(
    () => readMetric(gateway, 'im_connections{transport="websocket"}'),
    (count) => count === 0,
    'left',
  )
  const fifth = await connectTcp(gateway.tcpUrl)
  await fifth.login({ token: '1:carol' })
  for (const client of [first, fifth]) {
    await client.sync()
    client.destroy()
  }
})
