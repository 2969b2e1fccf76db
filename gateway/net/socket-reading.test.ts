import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls'
import { createCertificate } from '../../test/kit/certificate.ts'
import { startReading, stopReading } from './socket-reading.ts'

/** What TLS itself takes before it knows that it is stopped: a record or two. */
const TLS_RECORDS = 65_536

for (const tls of [false, true]) {
  test(`a socket ${tls ? 'with TLS ' : ''}that is stopped takes no more, and goes on where it was`, async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const client = tls ? connectTls({ port, rejectUnauthorized: false }) : connect(port, '127.0.0.1')
    const [raw] = await accepted
    const secureContext = createSecureContext(createCertificate('localhost'))
    const socket = tls ? new TLSSocket(raw, { isServer: true, secureContext }) : raw
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    const received = () => Buffer.concat(chunks).length
    const total = 4_000_000
    try {
      client.write(Buffer.alloc(1_000))
      while (received() < 1_000) await once(socket, 'data')
      stopReading(socket)
      stopReading(socket)
      client.write(Buffer.alloc(total - 1_000))
      // Nothing tells that nothing comes.
      await delay(200)
      const most = tls ? TLS_RECORDS : 0
      assert.ok(socket.readableLength <= most, `${socket.readableLength} bytes came into the stream`)
      assert.ok(received() <= 1_000 + most, `${received()} bytes were handed on`)
      startReading(socket)
      startReading(socket)
      while (received() < total) await once(socket, 'data')
      assert.equal(received(), total)
      stopReading(socket)
      startReading(socket)
      client.end()
      await once(socket, 'end')
    } finally {
      client.destroy()
      socket.destroy()
      server.close()
    }
  })
}
