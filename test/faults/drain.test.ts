import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { RedisProxy } from '../kit/redis-proxy.ts'
import { assertDelivered, assertSenderOrder, Device, startTraffic } from '../kit/device.ts'
import { RawClient } from '../kit/raw-login.ts'
import { bootIdOf, exitOf, metric, readiness, TestCluster } from '../kit/test-cluster.ts'
import { inTime, until } from '../kit/wait.ts'

const ORDERLY = { code: 0, signal: null }

describe('SIGTERM drains a gateway', () => {
  it('while messages flow: every device moves with the new connection first, and nothing is lost', async (t) => {
    const env = { IM_DRAIN_RATE: '40', IM_DRAIN_JITTER_MS: '300', IM_DRAIN_DEADLINE_MS: '55000' }
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1', 'gw-2'], env })
    await using stack = new AsyncDisposableStack()
    const [leaving, ...others] = cluster.gateways
    assert.ok(leaving && others.length === 2)
    const boot = await bootIdOf(leaving)
    const moving: Device[] = []
    for (let number = 0; number < 8; number++) {
      const transport = number % 2 === 0 ? 'tcp' : 'ws'
      const addresses = [leaving, ...(number % 4 < 2 ? others : others.toReversed())]
      moving.push(stack.use(await Device.open(addresses, { user: 'alice', imei: `d${number}`, transport })))
    }
    const staying = stack.use(await Device.open(others, { user: 'alice', imei: 'stays' }))
    const bob = stack.use(await Device.open([leaving, ...others], { user: 'bob', transport: 'tcp' }))
    const dave = stack.use(await Device.open(others, { user: 'dave' }))

    const traffic = [bob, dave].map((sender) => startTraffic(sender, 'alice', 5))
    await until('traffic flows', () => moving.every(({ received }) => received.length > 20))
    leaving.kill('SIGTERM')
    const drainedAt = performance.now()
    assert.deepEqual(await exitOf(leaving), ORDERLY)
    t.diagnostic(`drained in ${Math.round(performance.now() - drainedAt)} ms`)
    const accepted = (await Promise.all(traffic.map((each) => each.stop()))).flat()

    for (const device of [...moving, bob]) {
      assert.deepEqual(
        device.connections.map(({ brokerId, handOver }) => `${brokerId === 'gw-0'} ${handOver}`),
        ['true false', 'false true'],
        `${device.name} moved once, by opening the new connection first`,
      )
      assert.deepEqual(device.disconnections, [])
    }
    for (const device of [...moving, staying]) {
      await device.has(accepted)
      assertDelivered(device, accepted)
      assert.equal(device.received.length, accepted.length)
      assertSenderOrder(device.texts)
    }
    assert.deepEqual(await cluster.store.traces(boot), [])
    assert.equal(await cluster.store.lease('gw-0'), undefined)
    const online = (await cluster.store.sessions()).filter(({ connectState }) => connectState === 1)
    assert.equal(online.length, moving.length + 3)
    const closed = leaving.logs().find(({ msg }) => String(msg).includes('deadline has passed'))
    assert.equal(closed, undefined, 'nobody had to be thrown out')
    assert.equal(await cluster.store.clientsCutOff('gw-0', boot), 0)
  })

  it('and another at the same time: devices that move to that one move on, and are never without a connection', async () => {
    const env = { IM_DRAIN_JITTER_MS: '300', IM_DRAIN_DEADLINE_MS: '55000' }
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1', 'gw-2'], env })
    await using stack = new AsyncDisposableStack()
    const devices: Device[] = []
    for (let number = 0; number < 20; number++) {
      const transport = number % 2 === 0 ? 'tcp' : 'ws'
      devices.push(stack.use(await Device.open(cluster.gateways, { user: 'alice', imei: `d${number}`, transport })))
    }
    const bob = stack.use(await Device.open([cluster.gateway('gw-2')], { user: 'bob' }))
    const traffic = startTraffic(bob, 'alice', 5)
    const leaving = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
    leaving[0]?.kill('SIGTERM')
    // By then the first devices are on their way to it.
    await until('a device logs in', async () =>
      (await cluster.store.sessions()).some(({ brokerId }) => brokerId === 'gw-1'),
    )
    leaving[1]?.kill('SIGTERM')
    assert.deepEqual(await Promise.all(leaving.map(exitOf)), [ORDERLY, ORDERLY])
    const accepted = await traffic.stop()
    for (const device of devices) {
      assert.deepEqual([device.brokerId, device.disconnections], ['gw-2', []])
      await device.has(accepted)
      assertDelivered(device, accepted)
    }
  })

  it('asks no faster than its rate, and closes at the deadline who does not go', async () => {
    const env = { IM_DRAIN_RATE: '20', IM_DRAIN_DEADLINE_MS: '1500' }
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1'], env })
    const leaving = cluster.gateway('gw-0')
    const boot = await bootIdOf(leaving)
    await using stack = new AsyncDisposableStack()
    const clients: RawClient[] = []
    for (let number = 0; number < 10; number++) {
      clients.push(stack.use(await RawClient.login(leaving, { user: 'alice', imei: `d${number}` })))
    }
    const guest = stack.use(await RawClient.open(leaving, 'json'))
    const begunAt = performance.now()
    leaving.kill('SIGTERM')
    assert.equal(await guest.ended(), 'going_away')
    assert.deepEqual(await readiness(leaving), { status: 503, body: 'draining' })
    await assert.rejects(RawClient.open(leaving), { code: 'ECONNREFUSED' })

    const asked = await Promise.all(clients.map((client) => client.waitFor('goAway')))
    for (const { delayMs, deadlineMs } of asked) assert.ok(delayMs <= deadlineMs && deadlineMs <= 1500)
    // What is left until the deadline says when each was asked, by the gateway's own clock.
    const times = asked.map(({ deadlineMs }) => 1500 - deadlineMs).toSorted((a, b) => a - b)
    for (const [index, time] of times.entries()) {
      // A tick's allowance (one client in 50 ms) may come early.
      assert.ok(time >= (index - 1) * 50 - 5, `client ${index} was asked after ${time} ms: faster than 20 a second`)
    }
    // Until the deadline a session goes on as ever.
    await using bob = await RawClient.login(cluster.gateway('gw-1'), { user: 'bob' })
    await bob.send('alice', 'while draining')
    await Promise.all(clients.map((client) => client.waitFor('message')))

    for (const client of clients) assert.equal(await client.ended(), 'going_away')
    // Timers are whole milliseconds.
    assert.ok(performance.now() - begunAt >= 1499, 'not before the deadline')
    assert.deepEqual(await exitOf(leaving), ORDERLY)
    assert.deepEqual(await cluster.store.traces(boot), [])
    assert.equal(await cluster.store.clientsCutOff('gw-0', boot), clients.length, 'it tells how many it was')
    assert.deepEqual(await bob.online('alice'), [])
  })

  it('lets a login end that may have taken the device from another gateway, and asks it then', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0'] })
    await using redis = await RedisProxy.start(cluster.redis.url)
    const leaving = await cluster.startGateway('gw-1', { IM_REDIS_URL: redis.url })
    await using former = await RawClient.login(cluster.gateway('gw-0'), { user: 'alice' })
    // From the session's write on no answer comes, so that the gateway knows nothing of it.
    redis.onWrite = (command) => {
      if (command.some((argument) => argument.includes('"userId":"alice"'))) redis.hold()
      return true
    }
    await using moving = await RawClient.open(leaving)
    const login = moving.login({ user: 'alice' })
    await until('the session is written', async () => (await cluster.store.sessionsOf('alice'))[0]?.brokerId === 'gw-1')
    leaving.kill('SIGTERM')
    await until('it drains', async () => (await readiness(leaving)).body === 'draining')
    redis.release()
    assert.equal((await login).brokerId, 'gw-1')
    await moving.waitFor('goAway')
    assert.equal(await former.ended(), 'replaced')
    await using bob = await RawClient.login(cluster.gateway('gw-0'), { user: 'bob' })
    await bob.send('alice', 'still there')
    await moving.waitFor('message')
    assert.equal(moving.ending, 'open')
  })

  it('sends away who was still shaking hands', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0'] })
    const leaving = cluster.gateway('gw-0')
    // Holds the drain open.
    await using _alice = await RawClient.login(leaving, { user: 'alice' })
    const { port, hostname } = new URL(leaving.wsUrl)
    const late = connect(Number(port), hostname)
    late.write('GET / HTTP/1.1\r\nHost: im\r\n')
    await until('it is accepted', async () => (await metric(leaving, 'im_pending_logins')) === 1)
    leaving.kill('SIGTERM')
    await until('it drains', async () => (await readiness(leaving)).body === 'draining')
    late.write(
      'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: im.json.v1\r\n\r\n',
    )
    const words = await inTime('the end of the connection', text(late))
    assert.match(words, /^HTTP\/1\.1 101 /)
    assert.match(words, /going_away/)
  })

  it('without waiting for a Redis that does not answer', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0'], env: { IM_REDIS_TIMEOUT_MS: '60000' } })
    const leaving = cluster.gateway('gw-0')
    await using alice = await RawClient.login(leaving, { user: 'alice' })
    process.kill(cluster.redis.pid, 'SIGSTOP')
    leaving.kill('SIGTERM')
    await alice.waitFor('goAway')
    process.kill(cluster.redis.pid, 'SIGCONT')
    alice.destroy()
    assert.deepEqual(await exitOf(leaving), ORDERLY)
    assert.deepEqual(await cluster.store.traces(await bootIdOf(leaving)), [])
  })

  for (const away of ['redis', 'nats'] as const) {
    it(`also while ${away} is away`, async () => {
      await using cluster = await TestCluster.start({ gateways: ['gw-0'], env: { IM_DRAIN_DEADLINE_MS: '1000' } })
      const leaving = cluster.gateway('gw-0')
      await using alice = await RawClient.login(leaving, { user: 'alice' })
      await using gone = await RawClient.login(leaving, { user: 'bob' })
      await cluster[away].stop()
      await until('it is noticed', async () => (await readiness(leaving)).body.includes('does not answer'))
      gone.destroy()
      leaving.kill('SIGTERM')
      assert.equal(await alice.ended(), 'going_away')
      assert.deepEqual(await exitOf(leaving), ORDERLY)
      const errors = leaving.logs().filter(({ level, reason }) => Number(level) >= 50 && reason === undefined)
      assert.deepEqual(errors, [], 'without an error, but for the one that says what is away')
    })
  }
})
