import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { createCertificate, createCertificateFiles, type CertificateFiles } from '../../test/kit/certificate.ts'
import { startGateway, type GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { buildSend, connectTcp, connectWebSocket, textOf, type RawClient } from '../../test/kit/raw-client.ts'
import { eventually, openBench, readMetric, SECRET, type TestBench } from '../test-bench.ts'

const errors = 'im_tls_errors_total'

let bench: TestBench
let files: CertificateFiles
let gateway: GatewayProcess

before(async () => {
  bench = await openBench()
  files = await createCertificateFiles('first')
  gateway = await start('gw-0', files.certFile, files.keyFile)
})

after(async () => {
  await bench[Symbol.asyncDispose]()
  await files[Symbol.asyncDispose]()
})

function start(brokerId: string, certFile: string, keyFile: string): Promise<GatewayProcess> {
  return bench.start(brokerId, { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, LOGIN_TIMEOUT_MS: '5000' })
}

function wssUrl({ wsUrl }: GatewayProcess): string {
  return wsUrl.replace('ws:', 'wss:')
}

/** Name in the certificate that new connections to a port get. */
async function seeName(url: string): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port: Number(new URL(url).port), rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const name = String(socket.getPeerCertificate().subject.CN)
  socket.destroy()
  return name
}

/** Sends a message from one to the other, to show that both work. */
async function exchange(from: RawClient, to: RawClient, userId: string, text = SECRET): Promise<void> {
  from.send(buildSend(userId, text))
  await from.next('accepted')
  assert.equal(textOf(await to.next('message')), text)
}

async function assertReloaded(target: GatewayProcess, name: string): Promise<void> {
  await eventually(
    () => seeName(target.tcpUrl),
    (seen) => seen === name,
    'the certificate of the TCP port',
  )
  assert.equal(await seeName(target.wsUrl), name)
}

test('both listeners speak TLS, in pieces and in bulk', async () => {
  await using alice = await connectTcp(gateway.tcpUrl, { ca: files.cert })
  await using bob = await connectWebSocket(wssUrl(gateway), { tls: { ca: files.cert } })
  await alice.login({ token: '1:alice' })
  await bob.login({ token: '1:bob' })
  for (let round = 0; round < 20; round++) {
    await exchange(alice, bob, 'bob', `${SECRET} ${round}`.padEnd(60_000, 'x'))
    await exchange(bob, alice, 'alice')
  }
})

describe('what is no TLS', () => {
  test('is counted, and harms nobody', async () => {
    await using alice = await connectTcp(gateway.tcpUrl, { ca: files.cert })
    await using bob = await connectTcp(gateway.tcpUrl, { ca: files.cert })
    await alice.login({ token: '1:alice' })
    await bob.login({ token: '1:bob', seq: 0, start: 'head' })

    const before = await readMetric(gateway, errors)
    let expected = 0
    for (const url of [gateway.tcpUrl, gateway.wsUrl]) {
      for (const words of ['GET / HTTP/1.1\r\n\r\n', '\u0000\u0000\u0000\u0002\u0001\u0010', 'x'.repeat(100_000)]) {
        const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(words))
        socket.resume()
        // The rest of what it wrote may be answered by a reset.
        await once(socket, 'close').catch(() => undefined)
        expected += 1
        assert.equal((await readMetric(gateway, errors)) - before, expected)
      }
    }
    // A hello that the two cannot agree on.
    const offer = { maxVersion: 'TLSv1.2', ciphers: 'AES256-SHA' } as const
    await assert.rejects(connectTcp(gateway.tcpUrl, offer), /alert handshake failure/)
    assert.equal((await readMetric(gateway, errors)) - before, expected + 1)

    await exchange(alice, bob, 'bob')
    assert.equal(await readMetric(gateway, 'im_connections{transport="tcp"}'), 2)
    assert.equal(await readMetric(gateway, 'im_pending_logins'), 0)
  })

  test('a client that hangs up leaves nothing behind', async () => {
    const client = await connectTcp(gateway.tcpUrl, { ca: files.cert })
    await client.login({ token: '1:carol' })
    client.destroy()
    // One that hangs up before the login, and one in the middle of the handshake.
    const early = await connectWebSocket(wssUrl(gateway), { tls: { ca: files.cert } })
    early.destroy()
    const half = connect(Number(new URL(gateway.tcpUrl).port), '127.0.0.1', () => half.destroy())
    await once(half, 'close')
    await eventually(
      () => readMetric(gateway, 'im_pending_logins'),
      (count) => count === 0,
      'im_pending_logins',
    )
    for (const transport of ['tcp', 'websocket']) {
      const series = `im_connections{transport="${transport}"}`
      await eventually(
        () => readMetric(gateway, series),
        (count) => count === 0,
        series,
      )
    }
  })
})

describe('a certificate that is replaced', () => {
  test('is given to new connections; others stay', async () => {
    await using alice = await connectTcp(gateway.tcpUrl, { ca: files.cert })
    await using bob = await connectWebSocket(wssUrl(gateway), { tls: { ca: files.cert } })
    await alice.login({ token: '1:alice', start: 'head' })
    await bob.login({ token: '1:bob', imei: 'new', start: 'head' })
    assert.equal(await seeName(gateway.tcpUrl), 'first')

    const second = createCertificate('second')
    await writeFile(files.keyFile, second.key)
    await writeFile(files.certFile, second.cert)
    await assertReloaded(gateway, 'second')
    assert.ok((await readMetric(gateway, 'im_tls_reloads_total{result="ok"}')) >= 1)
    await using carol = await connectTcp(gateway.tcpUrl, { ca: second.cert })
    await carol.login({ token: '1:carol' })
    await exchange(alice, carol, 'carol')
    await exchange(carol, bob, 'bob')
  })

  test('may be replaced by a link, as Kubernetes does', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'im-tls-'))
    const write = async (version: string) => {
      const pair = createCertificate(version)
      await mkdir(join(directory, version))
      await writeFile(join(directory, version, 'tls.crt'), pair.cert)
      await writeFile(join(directory, version, 'tls.key'), pair.key)
      await symlink(version, join(directory, '..data_tmp'))
      await rename(join(directory, '..data_tmp'), join(directory, '..data'))
    }
    try {
      await write('one')
      for (const name of ['tls.crt', 'tls.key']) await symlink(join('..data', name), join(directory, name))
      const mounted = await start('gw-1', join(directory, 'tls.crt'), join(directory, 'tls.key'))
      assert.equal(await seeName(mounted.tcpUrl), 'one')
      await write('two')
      await assertReloaded(mounted, 'two')
      assert.equal(await readMetric(mounted, 'im_tls_reloads_total{result="ok"}'), 1)
      assert.equal(await readMetric(mounted, 'im_tls_reloads_total{result="failed"}'), 0)
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  test('by one that cannot be used is counted and said, and the former stays until there is a good one', async () => {
    await using mine = await createCertificateFiles('good')
    const target = await start('gw-2', mine.certFile, mine.keyFile)
    const failed = () => readMetric(target, 'im_tls_reloads_total{result="failed"}')
    await writeFile(mine.certFile, 'no certificate')
    await eventually(failed, (count) => count === 1, 'failed reloads')
    await target.waitForLog(({ level, msg }) => level === 50 && /former one stays/.test(String(msg)), 60_000)
    assert.equal(await seeName(target.tcpUrl), 'good')
    // A certificate of another key.
    await writeFile(mine.certFile, createCertificate('other').cert)
    await eventually(failed, (count) => count === 2, 'failed reloads')
    assert.equal(await seeName(target.tcpUrl), 'good')

    const better = createCertificate('better')
    await writeFile(mine.certFile, better.cert)
    await writeFile(mine.keyFile, better.key)
    await assertReloaded(target, 'better')
  })
})

test('a gateway with a pair that cannot be used does not start, and says why', async () => {
  await using mine = await createCertificateFiles('good')
  await writeFile(mine.keyFile, createCertificate('other').key)
  const missing = join(mine.directory, 'missing.key')
  for (const keyFile of [mine.keyFile, missing]) {
    const env = { IM_TLS_CERT_FILE: mine.certFile, IM_TLS_KEY_FILE: keyFile }
    const options = { brokerId: 'gw-3', redisUrl: bench.redis.url, natsUrl: bench.nats.url, env, skipReady: true }
    await using target = await startGateway(options)
    assert.equal((await target.exited).code, 1)
    const fatal = target.logs().filter(({ level }) => level === 60)
    assert.equal(fatal.length, 1)
    assert.equal(fatal[0]?.['code'], 'TLS_INVALID')
    assert.ok(String(fatal[0]?.['msg']).includes(keyFile))
  }
})
