import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { SessionError } from '../errors.ts'
import { awaitReady, closeRedis, connectRedis } from './redis.ts'

const COMMAND_TIMEOUT_MS = 1000

test('rediss:// tells a server without TLS nothing, and says why it cannot be used', async () => {
  let received = ''
  // As a real Redis it answers nothing to what has no end of line, or as other servers that it did not understand.
  for (const answer of ['', '-ERR unknown command\r\n']) {
    await using stack = new AsyncDisposableStack()
    const plain = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (data) => {
        received += data.toString('latin1')
        socket.write(answer)
      })
    })
    await once(plain.listen(0, '127.0.0.1'), 'listening')
    stack.defer(() => void plain.close())
    const { port } = plain.address() as AddressInfo
    for (const url of [`rediss://im:hidden@127.0.0.1:${port}`, `rediss-cluster://im:hidden@127.0.0.1:${port}`]) {
      const errors: SessionError[] = []
      const stranger = connectRedis(url, {
        connectionName: 'test',
        commandTimeoutMs: COMMAND_TIMEOUT_MS,
        onError: (error) => errors.push(error),
      })
      try {
        await assert.rejects(awaitReady(stranger, 2 * COMMAND_TIMEOUT_MS))
      } finally {
        await closeRedis(stranger)
      }
      const told = errors.map(({ message }) => message).join('\n')
      if (url.startsWith('rediss://')) assert.match(told, /speaks no TLS, which rediss:\/\/ asks for$/m)
    }
  }
  // The greeting of TLS and nothing else.
  assert.equal(received.charCodeAt(0), 0x16)
  assert.ok(!received.includes('hidden') && !received.includes('AUTH') && !received.includes('HELLO'))
})
