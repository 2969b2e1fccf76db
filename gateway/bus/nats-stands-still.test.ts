import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { buildSend } from '../../test/kit/raw-client.ts'
import { deviceField, Keys } from '../../session/keys.ts'
import { openRedis } from '../../session/test-kit.ts'
import { formatUserSession, parseUserSession } from '../../session/user-session.ts'
import { eventually, loginTcp, openBench, readMetric } from '../test-bench.ts'

const MESSAGES = 300
const PAYLOAD = 'm'.repeat(60_000)

const bench = await openBench()
after(() => bench[Symbol.asyncDispose]())

/** A way to NATS whose second connection stands still as soon as it is made: both sides are silent then, and neither ends. */
async function startLink(port: number) {
  const sockets: Socket[] = []
  let count = 0
  const server = createServer((client) => {
    const stands = (count += 1) === 2
    const upstream = connect(port, '127.0.0.1')
    sockets.push(client, upstream)
    for (const socket of [client, upstream]) socket.on('error', () => undefined)
    client.on('data', (bytes) => upstream.write(bytes))
    upstream.on('data', (bytes) => {
      client.write(bytes)
      if (!stands || !bytes.includes('PONG')) return
      client.pause()
      upstream.pause()
    })
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    count: () => count,
    breakAll: () => sockets.forEach((socket) => socket.destroy()),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
}

test('a server that stands still as soon as it is back is given up for another connection', async () => {
  await using link = await startLink(bench.nats.port)
  const gateway = await bench.startHere('gw-0', { NATS_SERVERS: link.url })
  await using client = await openRedis(bench.redis.url)
  await using alice = await loginTcp(gateway, { token: '1:alice' })
  // Somebody at a gateway that is gone: what is for him goes to NATS.
  const sessions = new Keys().sessions({ appId: 1, userId: 'alice' })
  const [json = ''] = await client.redis.hvals(sessions)
  const bob = { ...parseUserSession(json), userId: 'bob', brokerId: 'gone', incarnation: 'pod/b1-gone' }
  await client.redis.hset(new Keys().sessions(bob), deviceField(bob), formatUserSession(bob))
  assert.equal(link.count(), 1)
  link.breakAll()
  const awaitUp = () =>
    eventually(
      () => readMetric(gateway, 'im_nats_up'),
      (up) => up === 1,
      'NATS to be back',
    )
  await eventually(link.count, (count) => count === 2, 'a second connection')
  await awaitUp()
  // More than a kernel keeps: a client of NATS that has something to send does not end its connection by itself.
  for (let requestId = 1; requestId <= MESSAGES; requestId++) {
    alice.send(buildSend('bob', PAYLOAD, { requestId, durable: false }))
    await alice.next('accepted')
  }
  await eventually(link.count, (count) => count >= 3, 'another connection')
  await awaitUp()
})
