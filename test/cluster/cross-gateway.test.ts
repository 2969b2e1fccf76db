import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BusTap } from '../kit/bus-tap.ts'
import { RawClient, wires } from '../kit/raw-login.ts'
import { metric, TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

describe('gateways of a cluster', () => {
  it('bring a message from any client to every device of any user, over any transport', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1', 'gw-2'] })
    await using stack = new AsyncDisposableStack()
    const places = cluster.gateways.flatMap((gateway) => wires.map((wire) => ({ gateway, wire })))
    const devices = await Promise.all(
      places.map(async ({ gateway, wire }) => {
        const imei = `${gateway.brokerId} ${wire}`
        return stack.use(await RawClient.login(gateway, { user: 'alice', imei }, wire))
      }),
    )
    const senders = await Promise.all(
      places.map(async ({ gateway, wire }) => {
        const user = `${gateway.brokerId}-${wire}`
        return { user, client: stack.use(await RawClient.login(gateway, { user }, wire)) }
      }),
    )

    const durable = await Promise.all(
      senders.flatMap(({ user, client }) =>
        ['first', 'second ✓'].map((word) => client.send('alice', `${word} of ${user}`)),
      ),
    )
    const seqs = durable.map((answer) => (answer.type === 'accepted' ? answer.seq : answer.type))
    const wanted = Array.from({ length: 2 * senders.length }, (_, index) => index + 1)
    assert.deepEqual(
      seqs.toSorted((a, b) => Number(a) - Number(b)),
      wanted,
    )
    const expected = senders.flatMap(({ user }) => ['first', 'second ✓'].map((word) => [`${word} of ${user}`, user]))
    for (const device of devices) {
      await device.waitFor('message', ({ seq }) => seq === wanted.length)
      const messages = device.framesOf('message')
      assert.deepEqual(
        messages.map(({ seq }) => seq),
        wanted,
      )
      const got = messages.map(({ payload, from }) => [Buffer.from(payload).toString(), from])
      assert.deepEqual(got.toSorted(byText), expected.toSorted(byText))
    }

    const transient = await Promise.all(
      senders.map(({ user, client }) => client.send('alice', `${user} is typing`, { durable: false })),
    )
    assert.ok(transient.every((answer) => answer.type === 'accepted' && answer.seq === 0))
    const typing = senders.map(({ user }) => `${user} is typing`)
    for (const device of devices) {
      await until('every transient message', () => device.texts.length === wanted.length + typing.length)
      assert.deepEqual(device.texts.slice(wanted.length).toSorted(), typing.toSorted())
    }
    // And nothing came twice, or to the wrong people.
    assert.ok(senders.every(({ client }) => client.texts.length === 0))
  })

  it('share one NATS message for what one turn has for the same gateway', async (t) => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0', 'gw-1', 'gw-2'] })
    const [here, there] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
    await using alice = await RawClient.login(there, { user: 'alice' })
    await using bob = await RawClient.login(here, { user: 'bob' })
    await using tap = await BusTap.open(cluster.nats.url)
    const published = await metric(here, 'im_bus_published_total')

    const count = 60
    const sends = Array.from({ length: count }, (_, index) => bob.buildSend('alice', String(index)))
    bob.write(...sends)
    await alice.waitFor('message', ({ seq }) => seq === count)
    await tap.flush()

    const types = tap.messages.flatMap((message) => message.types)
    assert.deepEqual(types, Array.from({ length: count }).fill('push'), 'each push once')
    assert.deepEqual([...new Set(tap.messages.map(({ to }) => to))], ['gw-1'], 'only to who has the user')
    assert.equal((await metric(here, 'im_bus_published_total')) - published, tap.messages.length)
    assert.equal(await metric(here, 'im_messages_accepted_total', 'durable'), count)
    t.diagnostic(`${count} messages went in ${tap.messages.length} NATS messages`)
    assert.ok(tap.messages.length <= count / 2, `${tap.messages.length} NATS messages for ${count} pushes`)
  })
})

function byText([a = '']: readonly string[], [b = '']: readonly string[]): number {
  return a < b ? -1 : 1
}
