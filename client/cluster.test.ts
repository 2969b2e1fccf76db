import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startGateway, type GatewayProcess } from '../test/kit/servers/gateway-process.ts'
import { startNats } from '../test/kit/servers/nats-server.ts'
import { startRedis } from '../test/kit/servers/redis-server.ts'
import { signToken } from '../test/kit/token.ts'
import { connect, type Client, type NodeClientOptions } from './index.ts'
import { Collector, nextEvent } from './test-kit.ts'

let redis: Awaited<ReturnType<typeof startRedis>>
let nats: Awaited<ReturnType<typeof startNats>>
const stack = new AsyncDisposableStack()

before(async () => {
  redis = stack.use(await startRedis())
  nats = stack.use(await startNats())
})
after(() => stack.disposeAsync())

let keySpaces = 0

/** Gateways that share nothing but their servers with those of other tests. */
async function startGateways(
  count: number,
  env: Record<string, string> = {},
): Promise<GatewayProcess[] & AsyncDisposable> {
  keySpaces += 1
  const prefixes = { IM_KEY_PREFIX: `t${keySpaces}:`, IM_SUBJECT_PREFIX: `t${keySpaces}.` }
  const options = { redisUrl: redis.url, natsUrl: nats.url, env: { ...prefixes, ...env } }
  const gateways = await Promise.all(
    Array.from({ length: count }, (_, n) => startGateway({ ...options, brokerId: `gw-${n}` })),
  )
  return Object.assign(gateways, {
    async [Symbol.asyncDispose]() {
      await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()))
    },
  })
}

function open(userId: string, urls: string[], more: Partial<NodeClientOptions> = {}): Client {
  return connect({ urls, token: `1:${userId}`, device: { clientType: 'web', imei: `${userId}-1` }, ...more })
}

test('users at different gateways, over TCP and WebSocket, exchange messages and see each other online', async () => {
  await using gateways = await startGateways(2)
  const [one, two] = gateways
  assert.ok(one && two)
  await using alice = open('alice', [one.wsUrl])
  await using bob = open('bob', [two.tcpUrl])
  const [atAlice, atBob] = [new Collector(alice), new Collector(bob)]
  await Promise.all([alice.ready(), bob.ready()])
  const sent = await alice.send('bob', 'hello')
  assert.deepEqual([sent.seq, sent.duplicate], [1, false])
  const again = await alice.send('bob', 'hello', { messageId: sent.messageId })
  assert.deepEqual([again.seq, again.duplicate], [1, true])
  await atBob.until(1)
  await bob.send('alice', 'hi')
  await atAlice.until(1)
  await bob.send('alice', 'typing', { durable: false })
  await atAlice.until(2)
  assert.deepEqual([atAlice.texts, atAlice.seqs, atBob.texts], [['hi', 'typing'], [1, 0], ['hello']])
  assert.deepEqual(Object.fromEntries(await alice.presence(['bob', 'carol'])), { bob: [1], carol: [] })
  await assert.rejects(alice.send('alice', 'x'), { code: 'recipient_self', outcome: 'refused' })
  await assert.rejects(alice.send('bob', 'x'.repeat(100_000)), { code: 'payload_too_large' })
  await alice.send('bob', 'still here')
  await atBob.until(2)
})

test('a device goes on where it has acknowledged, also after it was away', async () => {
  await using gateways = await startGateways(2)
  const [one, two] = gateways
  assert.ok(one && two)
  await using alice = open('alice', [one.tcpUrl])
  const first = open('bob', [one.wsUrl])
  const before = new Collector(first)
  await first.ready()
  await alice.send('bob', 'one')
  await before.until(1)
  await first.close()
  await alice.send('bob', 'two')
  await alice.send('bob', 'three')
  await using second = open('bob', [two.tcpUrl])
  assert.deepEqual(await new Collector(second).until(2), ['two', 'three'])
  await using other = open('bob', [two.tcpUrl], { device: { clientType: 'ios', imei: 'new' } })
  assert.deepEqual(await new Collector(other).until(3), ['one', 'two', 'three'])
})

test('through a drain nothing is lost or repeated, and nobody is without a connection', async () => {
  await using gateways = await startGateways(2, { IM_DRAIN_JITTER_MS: '200', IM_DRAIN_DEADLINE_MS: '10000' })
  const [one, two] = gateways
  assert.ok(one && two)
  await using alice = open('alice', [one.tcpUrl, two.tcpUrl])
  await using bob = open('bob', [one.wsUrl, two.wsUrl])
  const collector = new Collector(bob)
  const disconnects: string[] = []
  for (const client of [alice, bob]) client.on('disconnected', ({ code }) => void disconnects.push(code))
  await Promise.all([alice.ready(), bob.ready()])
  const moved = Promise.all(
    [alice, bob].map((client) => nextEvent(client, 'connected', ({ brokerId }) => brokerId === 'gw-1')),
  )
  const sends: Promise<unknown>[] = []
  one.kill('SIGTERM')
  for (let n = 0; one.running; n++) {
    sends.push(alice.send('bob', `${n}`))
    if (n % 8 === 0) await sends.at(-1)
  }
  await Promise.all([moved, ...sends])
  await collector.until(sends.length)
  assert.deepEqual(
    collector.texts,
    sends.map((_, n) => `${n}`),
  )
  assert.deepEqual(disconnects, [])
  assert.equal((await one.exited).code, 0)
})

test('after a gateway was killed its clients go on at another one, without loss or repeat', async () => {
  await using gateways = await startGateways(2)
  const [one, two] = gateways
  assert.ok(one && two)
  await using alice = open('alice', [one.tcpUrl, two.tcpUrl])
  await using bob = open('bob', [one.wsUrl, two.wsUrl])
  const collector = new Collector(bob)
  await Promise.all([alice.ready(), bob.ready()])
  const sends = Array.from({ length: 50 }, (_, n) => alice.send('bob', `${n}`))
  await sends[0]
  one.kill('SIGKILL')
  sends.push(...Array.from({ length: 50 }, (_, n) => alice.send('bob', `${n + 50}`)))
  const seqs = (await Promise.all(sends)).map(({ seq }) => seq)
  await collector.until(100)
  assert.deepEqual(
    collector.seqs,
    seqs.toSorted((a, b) => a - b),
  )
  assert.deepEqual(
    collector.texts,
    sends.map((_, n) => `${n}`),
  )
})

test('what is sent while Redis is away is accepted when it is back', async () => {
  await using gateways = await startGateways(1)
  const [one] = gateways
  assert.ok(one)
  await using alice = open('alice', [one.tcpUrl])
  await using bob = open('bob', [one.tcpUrl])
  const collector = new Collector(bob)
  await Promise.all([alice.ready(), bob.ready()])
  await redis.stop()
  const sends = [1, 2, 3].map((n) => alice.send('bob', `${n}`))
  await redis.start()
  await Promise.all(sends)
  assert.deepEqual(await collector.until(3), ['1', '2', '3'])
})

test('another device that the policy allows no room for ends the first, which is told by which kind', async () => {
  await using gateways = await startGateways(1, { IM_DEVICE_POLICY: 'dual' })
  const [one] = gateways
  assert.ok(one)
  await using first = open('alice', [one.tcpUrl])
  await first.ready()
  await using second = open('alice', [one.wsUrl], { device: { clientType: 'web', imei: 'alice-2' } })
  await second.ready()
  const { code, by, clientType } = await first.closed
  assert.deepEqual({ code, by, clientType }, { code: 'displaced', by: 'gateway', clientType: 1 })
  await using same = open('alice', [one.wsUrl], { device: { clientType: 'web', imei: 'alice-2' } })
  await same.ready()
  assert.equal((await second.closed).code, 'replaced')
})

test('a gateway with another key of tokens takes a client that has a function, by one more token', async () => {
  const [former, present] = ['the former key of tokens, 32 bytes', 'the present key of tokens, 32 bytes']
  await using gateways = await startGateways(1, { IM_AUTH_MODE: 'secret', IM_AUTH_SECRET: former })
  await using changed = await startGateways(1, { IM_AUTH_MODE: 'secret', IM_AUTH_SECRET: present })
  const [one, two] = [gateways[0], changed[0]]
  assert.ok(one && two)
  const keys = [former, present]
  const token = () => signToken(keys.shift() ?? 'no further key is asked for here', 1, 'alice')
  await using alice = open('alice', [one.tcpUrl, two.tcpUrl], { token })
  await alice.ready()
  const codes: string[] = []
  alice.on('disconnected', ({ code }) => void codes.push(code))
  const back = nextEvent(alice, 'connected')
  one.kill('SIGKILL')
  assert.equal((await back).url, two.tcpUrl)
  assert.ok(codes.includes('token_invalid'))
})

test('a gateway that ends a connection because its token expired gets a new one from the function', async () => {
  const secret = 'the present key of tokens, 32 bytes'
  await using gateways = await startGateways(1, { IM_AUTH_MODE: 'secret', IM_AUTH_SECRET: secret })
  const [one] = gateways
  assert.ok(one)
  const short = await signToken(secret, 1, 'alice', '5s')
  let over = false
  await using alice = open('alice', [one.tcpUrl], { token: () => (over ? signToken(secret, 1, 'alice') : short) })
  const ended = nextEvent(alice, 'disconnected')
  alice.on('disconnected', () => void (over = true))
  assert.equal((await ended).code, 'token_expired')
  await alice.ready()
})
