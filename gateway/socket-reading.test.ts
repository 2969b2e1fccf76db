import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startReading, stopReading } from './socket-reading.ts'

test('a socket that is stopped takes no byte more, and goes on where it was', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [Socket]
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  const received = () => Buffer.concat(chunks).length
  const total = 400_000
  try {
    client.write(Buffer.alloc(1_000))
    while (received() < 1_000) await once(socket, 'data')
    stopReading(socket)
    stopReading(socket)
    client.write(Buffer.alloc(total - 1_000))
    // Nothing tells that nothing comes.
    await delay(200)
    assert.deepEqual([received(), socket.readableLength, socket.bytesRead], [1_000, 0, 1_000])
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
