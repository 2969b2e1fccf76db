// node gateways.ts <address of everything> [<another address of the gateways>]: run in a network of its own
import assert from 'node:assert/strict'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { createCertificateFiles } from '../../kit/certificate.ts'
import { startGateway, type GatewayProcess } from '../../kit/servers/gateway-process.ts'
import { startNats } from '../../kit/servers/nats-server.ts'
import { startRedis } from '../../kit/servers/redis-server.ts'
import { assertDelivered, Device, sendEach } from '../../kit/device.ts'
import { Store } from '../../kit/store.ts'
import { readiness } from '../../kit/test-cluster.ts'

const [host = '', ...others] = process.argv.slice(2)
await using redis = await startRedis({ persistent: false, host })
await using files = await createCertificateFiles()
setDefaultCACertificates([...getCACertificates('default'), files.cert])
const offered = { cert_file: files.certFile, key_file: files.keyFile }
await using nats = await startNats({ host, config: JSON.stringify({ tls: offered, allow_non_tls: true }) })
const tls = {
  IM_TLS_CERT_FILE: files.certFile,
  IM_TLS_KEY_FILE: files.keyFile,
  IM_NATS_SERVERS: nats.url.replace('nats:', 'tls:'),
}
// As on Kubernetes: nobody tells them where to listen.
const common = { IM_LISTEN_HOST: '', NODE_EXTRA_CA_CERTS: files.certFile }
const start = (brokerId: string, env: Readonly<Record<string, string>> = {}) =>
  startGateway({ brokerId, redisUrl: redis.url, natsUrl: nats.url, host, env: { ...common, ...env } })
await using first = await start('gw-0')
await using second = await start('gw-1')
await using secure = await start('gw-2', tls)

for (const at of [host, ...others]) {
  const [a, b, c] = [addressAt(at, first), addressAt(at, second), addressAt(at, secure)]
  assert.deepEqual(await readiness({ ...first, adminUrl: a.adminUrl }), { status: 200, body: 'ok' })
  await using alice = await Device.open([a], { user: `alice at ${at}`, transport: 'ws' })
  await using bob = await Device.open([b], { user: `bob at ${at}`, transport: 'tcp' })
  const withTls = { tcpUrl: c.tcpUrl.replace('tcp:', 'tls:'), wsUrl: c.wsUrl.replace('ws:', 'wss:') }
  await using carol = await Device.open([withTls], { user: `carol at ${at}`, transport: 'tcp' })
  await using dave = await Device.open([withTls], { user: `dave at ${at}`, transport: 'ws' })
  for (const [from, to] of [
    [alice, bob],
    [bob, alice],
    [bob, carol],
    [carol, dave],
  ] as const) {
    const accepted = await sendEach(from, to.user, ['one', 'two'])
    await to.has(accepted)
    assertDelivered(to, accepted)
  }
}
await using store = await Store.open(redis.url)
assert.deepEqual(
  (await store.sessionsOf(`alice at ${host}`)).map(({ brokerHost }) => brokerHost),
  [host],
)

/** The gateway under another address of the same machine. */
function addressAt(at: string, { tcpUrl, wsUrl, adminUrl }: GatewayProcess) {
  const move = (url: string) => url.replace(new URL(url).hostname, at.includes(':') ? `[${at}]` : at)
  return { tcpUrl: move(tcpUrl), wsUrl: move(wsUrl), adminUrl: move(adminUrl) }
}
