import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { connectWebSocket } from '../../test/kit/raw-client.ts'
import { assertCounted, SECRET } from '../test-bench.ts'
import { openTarget, type Target } from '../test-target.ts'

let target: Target

before(async () => {
  target = await openTarget()
})

after(() => target[Symbol.asyncDispose]())

/** The series that counts HTTP requests answered with this status. */
function refused(status: number): string {
  return `im_http_refused_total{status="${status}"}`
}

test('a plain HTTP request is told what to do', async () => {
  const url = target.gateway.wsUrl.replace('ws:', 'http:')
  const response = await assertCounted(target.gateway, refused(426), () => fetch(url))
  assert.equal(response.status, 426)
  assert.match(await response.text(), /im\.bin\.v1, im\.json\.v1/)
  const post = await assertCounted(target.gateway, refused(426), () => fetch(url, { method: 'POST', body: SECRET }))
  assert.equal(post.status, 426)
  await post.text()
})

test('an unknown subprotocol is refused', () =>
  assertCounted(target.gateway, refused(400), async () => {
    await assert.rejects(connectWebSocket(target.gateway.wsUrl, { subprotocol: 'mqtt' }), /400/)
  }))

test('a client without a subprotocol speaks JSON', async () => {
  await using client = await connectWebSocket(target.gateway.wsUrl, { subprotocol: '' })
  await client.login({ token: target.token })
})

const requests: Readonly<Record<string, string>> = {
  garbage: '\u0001\u0002\u0003 garbage\r\n\r\n',
  'a header without an end': `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`,
  'an upgrade without a key':
    'GET / HTTP/1.1\r\nHost: im\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n',
  'an upgrade to something else': 'GET / HTTP/1.1\r\nHost: im\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n',
}
for (const [name, request] of Object.entries(requests)) {
  test(`${name} is answered by 400 and the end`, () =>
    assertCounted(target.gateway, refused(400), async () => {
      const socket = connect(Number(new URL(target.gateway.wsUrl).port), '127.0.0.1').setEncoding('utf8')
      let answer = ''
      socket.on('data', (data: string) => (answer += data))
      socket.write(request)
      await once(socket, 'close', { signal: AbortSignal.timeout(10_000) })
      assert.match(answer, /^HTTP\/1\.1 400 /)
    }))
}

test('a client that floods with WebSocket pings and reads no pongs is cut off', async () => {
  const socket = connect(Number(new URL(target.gateway.wsUrl).port), '127.0.0.1')
  socket.on('error', () => undefined)
  const ended = once(socket, 'close').catch(() => undefined)
  const upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
  socket.write(`GET / HTTP/1.1\r\nHost: im\r\n${upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
  await once(socket, 'data')
  socket.pause()
  // FIN and opcode 9, masked by zeros, with the longest payload that a control frame may have (RFC 6455, section 5.5).
  const ping = Buffer.concat([Buffer.of(0x89, 0x80 | 125, 0, 0, 0, 0), Buffer.alloc(125)])
  const pings = Buffer.concat(Array.from({ length: 1_000 }, () => ping))
  let written = 0
  while (!socket.destroyed) {
    assert.ok(written < 1_000, 'it is never cut off')
    written += 1
    const { promise, resolve } = Promise.withResolvers<void>()
    socket.write(pings, () => resolve())
    await Promise.race([promise, ended])
  }
})
