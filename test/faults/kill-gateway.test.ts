import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { assertDelivered, assertSenderOrder, Device, startTraffic } from '../kit/device.ts'
import { RawClient } from '../kit/raw-login.ts'
import { TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

const LEASE_MS = 6_000
/** For Redis to take a renewal that the dying gateway had already written. */
const TOLERANCE_MS = 2_000

describe('kill -9 of a gateway', () => {
  it('makes its users offline within the lease, and clients go on elsewhere with what they missed', async (t) => {
    await using cluster = await TestCluster.start({
      gateways: ['gw-0', 'gw-1'],
      env: { IM_LEASE_MS: String(LEASE_MS) },
    })
    const [dying, other] = [cluster.gateway('gw-0'), cluster.gateway('gw-1')]
    await using alicePhone = await Device.open([dying, other], { user: 'alice', imei: 'phone', transport: 'tcp' })
    await using aliceWeb = await Device.open([dying, other], { user: 'alice', imei: 'web' })
    await using aliceThere = await Device.open([other], { user: 'alice', imei: 'there' })
    await using bob = await Device.open([other], { user: 'bob' })
    await using dave = await Device.open([dying, other], { user: 'dave', transport: 'tcp' })
    await using carol = await RawClient.login(dying, { user: 'carol' })
    await using observer = await RawClient.login(other, { user: 'observer' })
    assert.deepEqual(await observer.online('carol', 'nobody'), ['carol'])

    const traffic = [startTraffic(bob, 'alice', 5), startTraffic(dave, 'alice', 5)]
    await until('traffic flows', () => aliceWeb.received.length > 20 && alicePhone.received.length > 20)
    dying.kill('SIGKILL')
    const killedAt = performance.now()
    assert.equal(await carol.ended(), 'lost')

    for (const device of [alicePhone, aliceWeb, dave]) {
      await until(`${device.name} is elsewhere`, () => device.brokerId === 'gw-1')
    }
    const accepted = (await Promise.all(traffic.map((each) => each.stop()))).flat()
    for (const device of [alicePhone, aliceWeb, aliceThere]) {
      await device.has(accepted)
      assertDelivered(device, accepted)
      assertSenderOrder(device.texts)
      assert.deepEqual(device.gaps, [])
    }

    // However slow this machine: a request that is made after the bound is answered with offline.
    let lastOnline = killedAt
    await until('carol is offline', async () => {
      const askedAt = performance.now()
      const online = await observer.online('carol')
      if (online.length > 0) lastOnline = askedAt
      return online.length === 0
    })
    const shown = lastOnline - killedAt
    t.diagnostic(`carol was shown as online for ${Math.round(shown)} ms after the kill`)
    assert.ok(shown <= LEASE_MS + TOLERANCE_MS, `shown as online ${Math.round(shown)} ms after the kill`)
    assert.deepEqual(await observer.online('alice', 'dave'), ['alice', 'dave'])
  })
})
