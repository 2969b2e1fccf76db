import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createCertificateFiles } from '../../test/kit/certificate.ts'
import { findFreePort } from '../../test/kit/servers/free-port.ts'
import { startNats } from '../../test/kit/servers/nats-server.ts'
import { findNatsFault } from './nats-unavailable.ts'

const signal = AbortSignal.timeout(60_000)

test('a server is fine when it answers, and under tls:// when it offers TLS', async () => {
  await using plain = await startNats()
  await using files = await createCertificateFiles()
  const tls = { cert_file: files.certFile, key_file: files.keyFile }
  await using secure = await startNats({ config: JSON.stringify({ tls, allow_non_tls: true }) })
  const address = (port: number) => `127.0.0.1:${port}`
  const nowhere = address(await findFreePort())
  assert.equal(await findNatsFault([`nats://${address(plain.port)}`], signal), undefined)
  assert.equal(await findNatsFault([nowhere, address(plain.port)], signal), undefined)
  assert.equal(await findNatsFault([`tls://${address(secure.port)}`], signal), undefined)
  assert.equal(
    await findNatsFault([`tls://${address(plain.port)}`], signal),
    `${address(plain.port)} offers no TLS, which tls:// asks for`,
  )
  assert.equal(
    await findNatsFault([`tls://${nowhere}`, address(plain.port)], signal),
    `${nowhere} does not answer (ECONNREFUSED); ${address(plain.port)} offers no TLS, which tls:// asks for`,
  )
})

test('an address of IPv6 is told in brackets, and what is no address as that', async () => {
  const port = await findFreePort()
  const fault = (await findNatsFault([`nats://[::1]:${port}`], signal)) ?? ''
  assert.ok(fault.startsWith(`[::1]:${port} does not answer`), fault)
  assert.match((await findNatsFault(['nats://nats:70000'], signal)) ?? '', /^nats:\/\/nats:70000 is no address: nats:/)
})

test('a greeting that comes in pieces is read to its end; what is no greeting is named', async () => {
  const pieces = ['IN', 'FO {"a":1,', '"tls_required":true}', '\r\n']
  const slow = createServer((socket) => {
    socket.on('error', () => undefined).setNoDelay()
    const next = (at: number): void => {
      if (at < pieces.length) socket.write(pieces[at] ?? '', () => setTimeout(() => next(at + 1), 20))
    }
    next(0)
  })
  const other = createServer((socket) => socket.on('error', () => undefined).write('220 mail\r\n'))
  for (const server of [slow, other]) await once(server.listen(0, '127.0.0.1'), 'listening')
  try {
    const [first, second] = [slow, other].map((server) => `tls://127.0.0.1:${(server.address() as AddressInfo).port}`)
    assert.equal(await findNatsFault([first ?? ''], signal), undefined)
    assert.match((await findNatsFault([second ?? ''], signal)) ?? '', /is no NATS server$/)
  } finally {
    slow.close()
    other.close()
  }
})
