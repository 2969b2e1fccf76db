import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { after, before, test } from 'node:test'
import { createCertificateFiles } from '../../test/kit/certificate.ts'
import { startGateway } from '../../test/kit/servers/gateway-process.ts'
import { startNats } from '../../test/kit/servers/nats-server.ts'
import { startRedis, type RedisServer } from '../../test/kit/servers/redis-server.ts'
import { eventually, SECRET } from '../test-bench.ts'

let redis: RedisServer

before(async () => {
  redis = await startRedis({ persistent: false })
})

after(() => redis[Symbol.asyncDispose]())

/** Says that it offers no TLS, as somebody between would who wants the password, and keeps what it is sent. */
async function startFake(
  port = 0,
): Promise<{ server: Server; received: () => string; asked: () => number; url: string }> {
  let received = ''
  let asked = 0
  const server = createServer((socket) => {
    asked += 1
    socket.on('error', () => undefined).on('data', (data) => (received += data.toString('latin1')))
    socket.write('INFO {"server_id":"fake","version":"2.10.0","proto":1,"max_payload":1048576}\r\n')
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
  const url = `tls://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { server, received: () => received, asked: () => asked, url }
}

const login = { IM_NATS_USER: 'im', IM_NATS_PASSWORD: SECRET }

test('tls:// tells a server that offers no TLS nothing, and says so', { timeout: 60_000 }, async () => {
  const fake = await startFake()
  try {
    const options = { brokerId: 'gw-0', redisUrl: redis.url, natsUrl: fake.url, env: login, skipReady: true }
    await using target = await startGateway(options)
    assert.deepEqual(await target.exited, { code: 1, signal: null })
    const fatal = target.logs().filter(({ level }) => level === 60)
    assert.deepEqual(
      fatal.map(({ code }) => code),
      ['NATS_WITHOUT_TLS'],
    )
    assert.match(String(fatal[0]?.['msg']), /^NATS offers no TLS, which tls:\/\/ asks for;/)
    assert.ok(fake.asked() > 0)
    assert.equal(fake.received(), '')
  } finally {
    fake.server.close()
  }
})

test('nor one that takes the place of a server with TLS, or is listed beside one', { timeout: 120_000 }, async () => {
  await using files = await createCertificateFiles()
  const tls = { cert_file: files.certFile, key_file: files.keyFile }
  const authorization = { users: [{ user: 'im', password: SECRET }] }
  const config = JSON.stringify({ tls, allow_non_tls: true, authorization })
  await using nats = await startNats({ config, login: { user: 'im', pass: SECRET } })
  const beside = await startFake()
  const env = { ...login, NODE_EXTRA_CA_CERTS: files.certFile }
  const natsUrl = `tls://127.0.0.1:${nats.port},${beside.url.replace('tls', 'nats')}`
  await using target = await startGateway({ brokerId: 'gw-1', redisUrl: redis.url, natsUrl, env })
  await nats.stop()
  const fake = await startFake(nats.port)
  try {
    await eventually(fake.asked, (count) => count > 1, 'attempts to connect')
    assert.deepEqual([fake.received(), beside.received()], ['', ''])
  } finally {
    fake.server.close()
    beside.server.close()
  }
  await nats.start()
  await target.ready(60_000)
})
