import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { buildLogin } from '../kit/raw-client.ts'
import { assertDelivered, Device, startTraffic } from '../kit/device.ts'
import { awaitPeers, LinkedCluster, type Server } from '../kit/linked-cluster.ts'
import { RawClient } from '../kit/raw-login.ts'
import { metric, readiness } from '../kit/test-cluster.ts'
import { PATIENCE_MS, until } from '../kit/wait.ts'
import type { Cut } from '../kit/cut-link.ts'

const BROKERS = ['gw-0', 'gw-1', 'gw-2']
const env = { IM_LEASE_MS: '3000', IM_DRAIN_JITTER_MS: '200', IM_DRAIN_RATE: '20', IM_LOGIN_TIMEOUT_MS: '120000' }
/** More than any gateway needs to find out that it is alone. */
const OUTAGE_MS = 15_000
const words = { redis: /Redis [^;\n]*does not answer/, nats: /NATS does not answer/ }

/** Asks every gateway all the time whether it is ready. */
function watchReadiness({ cluster }: LinkedCluster) {
  const stop = new AbortController()
  const unready: string[] = []
  let asked = 0
  const watching = Promise.all(
    cluster.gateways.map(async (gateway) => {
      while (!stop.signal.aborted) {
        const { status, body } = await readiness(gateway)
        asked += 1
        if (status !== 200) unready.push(`${gateway.brokerId}: ${body}`)
        await delay(100)
      }
    }),
  )
  return {
    async assertReady() {
      stop.abort()
      await watching
      assert.deepEqual(unready, [])
      assert.ok(asked > 3 * BROKERS.length)
    },
  }
}

/** Alice at gw-0 hears from bob at gw-1; carol at gw-0 has no SDK. */
async function connectPeople({ cluster }: LinkedCluster) {
  const stack = new AsyncDisposableStack()
  const [first, second, third] = BROKERS.map((brokerId) => cluster.gateway(brokerId))
  assert.ok(first && second && third)
  const alice = stack.use(await Device.open([first, second, third], { user: 'alice' }))
  const bob = stack.use(await Device.open([second, third], { user: 'bob', transport: 'tcp' }))
  const carol = stack.use(await RawClient.login(first, { user: 'carol' }))
  return { alice, bob, carol, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

describe('an outage of all', () => {
  const outages: readonly (readonly [what: string, servers: readonly Server[], cuts: readonly Cut[]])[] = [
    ['Redis', ['redis'], ['refusing', 'refusing', 'refusing']],
    ['NATS', ['nats'], ['refusing', 'refusing', 'refusing']],
    ['both', ['redis', 'nats'], ['refusing', 'refusing', 'refusing']],
    ['Redis, noticed at once by one and late by others', ['redis'], ['refusing', 'silent', 'silent']],
    ['both, noticed late by one and at once by others', ['redis', 'nats'], ['silent', 'refusing', 'refusing']],
  ]
  for (const [what, servers, cuts] of outages) {
    it(`of ${what}: every gateway stays ready, no connection closes, and nothing is lost`, async () => {
      await using linked = await LinkedCluster.start(BROKERS, env)
      const { cluster } = linked
      await using people = await connectPeople(linked)
      const { alice, bob, carol } = people
      const traffic = startTraffic(bob, 'alice', 50)
      await until('traffic flows', () => alice.received.length > 3)
      const watch = watchReadiness(linked)
      const links = BROKERS.flatMap((brokerId, at) =>
        servers.map((server) => [linked.link(brokerId, server), cuts[at] ?? 'refusing'] as const),
      )
      for (const [link, cut] of links) link.cut(cut)
      await Promise.all(
        cluster.gateways.map((gateway) =>
          until(`${gateway.brokerId} says that all lack it`, async () => {
            const { body } = await readiness(gateway)
            return servers.every(
              (server) => body.includes('the other gateways lack it, too') && words[server].test(body),
            )
          }),
        ),
      )
      await delay(OUTAGE_MS)
      if (servers.includes('redis')) {
        const answer = await carol.send('bob', 'during the outage')
        assert.equal(answer.type === 'error' && answer.code, 4001)
        for (const gateway of cluster.gateways) {
          await using newcomer = await RawClient.open(gateway)
          newcomer.write(buildLogin({ token: '1:dave' }))
          assert.equal(await newcomer.ended(), 'unavailable')
        }
      }
      for (const [link] of links) link.mend()
      const accepted = await traffic.stop()
      await alice.has(accepted)
      assertDelivered(alice, accepted)
      for (const gateway of cluster.gateways) {
        await until(`${gateway.brokerId} has all`, async () => (await readiness(gateway)).body === 'ok')
        assert.equal(await metric(gateway, 'im_trouble', 'GatewayCutOff'), 0)
      }
      await watch.assertReady()
      for (const device of [alice, bob]) {
        assert.deepEqual([device.connections.length, device.disconnections], [1, []], device.name)
      }
      assert.equal(carol.ending, 'open')
      assert.deepEqual(carol.framesOf('goAway'), [])
    })
  }
})

describe('one gateway cut off alone', () => {
  const isolations: readonly (readonly [what: string, servers: readonly Server[], cut: Cut])[] = [
    ['Redis', ['redis'], 'refusing'],
    ['Redis, silently', ['redis'], 'silent'],
    ['NATS', ['nats'], 'refusing'],
    ['both', ['redis', 'nats'], 'silent'],
  ]
  for (const [what, servers, cut] of isolations) {
    it(`from ${what}: turns unready, sends its clients to the others without closing one, and comes back`, async () => {
      await using linked = await LinkedCluster.start(BROKERS, env)
      const { cluster } = linked
      const [first, second] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
      await using people = await connectPeople(linked)
      const { alice, bob, carol } = people
      await using stack = new AsyncDisposableStack()
      const movers = [alice]
      for (let at = 0; at < 6; at++) {
        const transport = at % 2 === 0 ? 'tcp' : 'ws'
        movers.push(stack.use(await Device.open(cluster.gateways, { user: 'alice', imei: `d${at}`, transport })))
      }
      await using guest = await RawClient.open(first)
      const traffic = startTraffic(bob, 'alice', 50)
      await until('traffic flows', () => movers.every(({ received }) => received.length > 3))
      for (const server of servers) linked.link('gw-0', server).cut(cut)

      const { body } = await until('gw-0 is unready', async () => {
        const answer = await readiness(first)
        return answer.status === 503 && answer
      })
      for (const server of servers) assert.match(body, words[server])
      assert.match(body, /at this gateway alone/)
      assert.equal(await metric(first, 'im_trouble', 'GatewayCutOff'), 1)
      await until('all have moved', () => {
        const left = movers.filter(({ brokerId }) => brokerId === 'gw-0')
        assert.deepEqual(
          left.map(({ name }) => name),
          [],
        )
        return true
      })
      for (const { name, connections, disconnections } of movers) {
        assert.deepEqual(disconnections, [], name)
        assert.deepEqual(
          connections.map(({ handOver }) => handOver),
          [false, true],
          `${name} opened the new connection first`,
        )
      }
      // Who does not go stays, is asked again, and nobody else is let in.
      await carol.waitFor('goAway')
      assert.equal(carol.ending, 'open')
      guest.write(buildLogin({ token: '1:guest' }))
      assert.equal(await guest.ended(), 'cut_off')
      await assert.rejects(RawClient.open(first), { code: 'ECONNREFUSED' })
      for (const gateway of [second, cluster.gateway('gw-2')]) {
        assert.deepEqual(await readiness(gateway), { status: 200, body: 'ok' })
      }

      for (const server of servers) linked.link('gw-0', server).mend()
      await first.ready(PATIENCE_MS)
      await until('its troubles are over', async () => (await readiness(first)).body === 'ok')
      assert.equal(await metric(first, 'im_trouble', 'GatewayCutOff'), 0)
      const accepted = await traffic.stop()
      for (const device of movers) {
        await device.has(accepted)
        assertDelivered(device, accepted)
      }
      assert.equal(carol.ending, 'open')
      const answer = await until('carol can send', async () => {
        const { type } = await carol.send('bob', 'still here')
        return type === 'accepted'
      })
      assert.ok(answer)
      await until('bob hears her', () => bob.texts.includes('still here'))
      await using again = await RawClient.login(first, { user: 'guest' })
      assert.equal(again.ending, 'open')
      assert.deepEqual([bob.connections.length, bob.disconnections], [1, []])
    })
  }

  it('finds out also while the others answer only now and then', async () => {
    await using linked = await LinkedCluster.start(BROKERS, env)
    const { cluster } = linked
    const [first, ...others] = cluster.gateways
    assert.ok(first)
    linked.link('gw-0', 'nats').cut('refusing')
    const stop = new AbortController()
    const stumbling = (async () => {
      // There are never five seconds in which one of them answers all the time.
      for (let at = 0; !stop.signal.aborted; at++) {
        for (const gateway of others) gateway.kill(at % 2 === 0 ? 'SIGSTOP' : 'SIGCONT')
        await delay(2_500, undefined, { signal: stop.signal }).catch(() => undefined)
      }
      for (const gateway of others) gateway.kill('SIGCONT')
    })()
    try {
      await until('gw-0 is unready', async () => (await readiness(first)).status === 503)
    } finally {
      stop.abort()
      await stumbling
    }
    assert.match((await readiness(first)).body, /NATS does not answer: at this gateway alone/)
  })

  it('that then turns into an outage of all is ready again, and the others stay so', async () => {
    await using linked = await LinkedCluster.start(BROKERS, env)
    const { cluster } = linked
    const first = cluster.gateway('gw-0')
    const others = cluster.gateways.slice(1)
    linked.link('gw-0', 'redis').cut('refusing')
    await until('gw-0 is unready', async () => (await readiness(first)).status === 503)
    for (const { brokerId } of others) linked.link(brokerId, 'redis').cut('refusing')
    await until('gw-0 is ready', async () => (await readiness(first)).body.includes('lack it, too'))
    for (const gateway of others) {
      await until('it says so', async () => (await readiness(gateway)).body.includes('lack it, too'))
      assert.equal((await readiness(gateway)).status, 200)
    }
  })
})

describe('a gateway alone in its cluster', () => {
  it('stays ready without Redis and NATS: there is no better one', async () => {
    await using linked = await LinkedCluster.start(['gw-0'], env)
    const gateway = linked.cluster.gateway('gw-0')
    await using watcher = await RawClient.login(gateway, { user: 'alice' })
    for (const server of ['redis', 'nats'] as const) linked.link('gw-0', server).cut('silent')
    await until('it says so', async () => (await readiness(gateway)).body.includes('no other gateway can be asked'))
    await delay(OUTAGE_MS)
    assert.equal((await readiness(gateway)).status, 200)
    assert.equal(watcher.ending, 'open')
    await awaitPeers(gateway, 0)
  })
})
