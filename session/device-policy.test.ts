import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  decideLogin,
  devicePolicies,
  findSuccessor,
  MAX_DEVICES,
  maxDevicesOf,
  parseDevicePolicy,
} from './device-policy.ts'
import { createSession } from './test-kit.ts'
import { isNewer, isSameDevice, type UserSession } from './user-session.ts'

const [api, web, ios, android, windows, macos] = [0, 1, 2, 3, 4, 5]

let clock = 0
function session(clientType: number, imei = `imei-${clientType}`, values: Partial<UserSession> = {}): UserSession {
  return createSession({ clientType, imei, loginAt: ++clock, ...values })
}

/** Client types that stay online when a device of each given type logs in, one after another. */
function playLogins(policy: Parameters<typeof decideLogin>[0], types: number[]): number[] {
  let online: UserSession[] = []
  for (const [at, clientType] of types.entries()) {
    const device = session(clientType, `imei-${at}`)
    const { replaced, displaced } = decideLogin(policy, online, { device })
    online = [...online.filter((other) => other !== replaced && !displaced.includes(other)), device]
  }
  return online.map(({ clientType }) => clientType)
}

test('each policy leaves the newest devices that it has places for', () => {
  const everything = [api, web, ios, android, windows, macos]
  assert.deepEqual(playLogins(devicePolicies.single, everything), [macos])
  assert.deepEqual(playLogins(devicePolicies.single, [ios, api]), [api])
  assert.deepEqual(playLogins(devicePolicies.dual, everything), [api, web, macos])
  assert.deepEqual(playLogins(devicePolicies.triple, everything), [api, web, android, macos])
  assert.deepEqual(playLogins(devicePolicies.triple, [web, web, ios, android]), [web, android])
  assert.deepEqual(playLogins(devicePolicies.unlimited, [web, ...everything, api]), [web, ...everything, api])
})

test('the same device again replaces its session and counts as no second device', () => {
  const phone = session(ios)
  const browser = session(web)
  const decision = decideLogin(devicePolicies.dual, [phone, browser], { device: phone })
  assert.deepEqual(decision, { replaced: phone, displaced: [], crowdedOut: [] })
})

test('a session that is offline does not count, and is not displaced', () => {
  const gone = session(ios, 'a', { connectState: 2 })
  assert.deepEqual(decideLogin(devicePolicies.single, [gone], { device: session(web) }), {
    displaced: [],
    crowdedOut: [],
  })
  assert.deepEqual(decideLogin(devicePolicies.single, [gone], { device: gone }), { displaced: [], crowdedOut: [] })
})

test('a class with several places displaces the oldest of its devices', () => {
  const policy = parseDevicePolicy('{"classes":[{"name":"phones","clientTypes":[2,3],"limit":2}]}')
  const [first, second, browser] = [session(ios, 'a'), session(android, 'b'), session(web)]
  const { displaced } = decideLogin(policy, [second, browser, first], { device: session(ios, 'c') })
  assert.deepEqual(displaced, [first])
})

test('whatever the policy, a user has no more devices than the bound, and whom it costs the place is told apart', () => {
  for (const [policy, count] of [
    [devicePolicies.unlimited, 64],
    [{ ...devicePolicies.unlimited, maxDevices: 3 }, 3],
    [{ ...devicePolicies.unlimited, maxDevices: MAX_DEVICES }, MAX_DEVICES],
  ] as const) {
    assert.equal(maxDevicesOf(policy), count)
    const online = Array.from({ length: count }, (_, at) => session(api, `imei-${at}`))
    const decision = decideLogin(policy, online.toReversed(), { device: session(api, 'one more') })
    assert.deepEqual(decision, { displaced: [online[0]], crowdedOut: [online[0]] })
    assert.deepEqual(decideLogin(policy, online.slice(1), { device: session(api, 'one more') }).displaced, [])
  }
  const [phone, first, second] = [session(ios), session(api, 'a'), session(api, 'b')]
  const policy = { ...devicePolicies.triple, maxDevices: 2 }
  const decision = decideLogin(policy, [phone, first, second], { device: session(ios, 'other phone') })
  assert.deepEqual(decision, { displaced: [phone, first], crowdedOut: [first] })
})

test('a lost session gives way to a newer login of its device, even one that has ended', () => {
  const mine = session(ios)
  const newer = session(ios, undefined, { connectState: 2 })
  assert.equal(findSuccessor(devicePolicies.unlimited, [newer], mine), newer)
  assert.equal(findSuccessor(devicePolicies.unlimited, [mine], newer), undefined)
  assert.equal(findSuccessor(devicePolicies.single, [mine], mine), undefined)
})

test('a lost session gives way when newer devices have taken all places of its class', () => {
  const mine = session(ios, 'a')
  const [second, third] = [session(android, 'b'), session(ios, 'c')]
  const two = parseDevicePolicy('{"classes":[{"name":"phones","clientTypes":[2,3],"limit":2}]}')
  assert.equal(findSuccessor(two, [third], mine), undefined)
  assert.equal(findSuccessor(two, [third, second, session(web)], mine), third)
  assert.equal(findSuccessor(devicePolicies.single, [third, second], mine), second)
  assert.equal(findSuccessor(devicePolicies.dual, [session(web)], mine), undefined)
})

test('whatever the order in which lost sessions are written again, the same ones stay as if they had logged in', () => {
  const device = fc.record({ clientType: fc.nat(5), imei: fc.constantFrom('a', 'b', 'c') })
  const policy = fc.constantFrom(...Object.values(devicePolicies))
  fc.assert(
    fc.property(policy, fc.array(device, { maxLength: 8 }), fc.infiniteStream(fc.nat()), (policy, devices, order) => {
      let online: UserSession[] = []
      for (const [at, { clientType, imei }] of devices.entries()) {
        const next = session(clientType, imei, { loginAt: at + 1 })
        const { replaced, displaced } = decideLogin(policy, online, { device: next })
        online = [...online.filter((other) => other !== replaced && !displaced.includes(other)), next]
      }
      let stored: UserSession[] = []
      const ranks = new Map(online.map((lost) => [lost, order.next().value ?? 0]))
      for (const lost of online.toSorted((a, b) => (ranks.get(a) ?? 0) - (ranks.get(b) ?? 0))) {
        assert.equal(findSuccessor(policy, stored, lost), undefined)
        assert.deepEqual(decideLogin(policy, stored, { device: lost }).displaced, [])
        stored = [...stored, lost]
      }
      const all = [...stored].toSorted((a, b) => (isNewer(a, b) ? 1 : -1))
      assert.deepEqual(all, online)
      assert.ok(online.every((a) => online.every((b) => a === b || !isSameDevice(a, b))))
    }),
  )
})

test('a policy is a name or a table', () => {
  assert.equal(parseDevicePolicy('dual'), devicePolicies.dual)
  assert.equal(parseDevicePolicy(' single\n'), devicePolicies.single)
  const classes = [{ name: 'phones', clientTypes: [2, 3], limit: 2 }]
  assert.deepEqual(parseDevicePolicy(JSON.stringify({ classes })), { classes })
})

test('all mistakes of a table are reported together', () => {
  const classes = [
    { name: '', clientTypes: [2, 3], limit: 0 },
    { name: 'more', clientTypes: [3, 9], limit: 1, color: 'red' },
  ]
  const message = /name.*limit.*clientTypes.*color/s
  assert.throws(() => parseDevicePolicy(JSON.stringify({ classes })), { code: 'policy_invalid', message })
  for (const text of ['', 'quadruple', 'toString', '{', '[]', 'null']) {
    assert.throws(() => parseDevicePolicy(text), { code: 'policy_invalid' }, text)
  }
})

test('a client type in two classes is refused', () => {
  const classes = [
    { name: 'a', clientTypes: [2], limit: 1 },
    { name: 'b', clientTypes: [2], limit: 1 },
  ]
  const message = /clientType 2 is in "a" and in "b"/
  assert.throws(() => parseDevicePolicy(JSON.stringify({ classes })), { code: 'policy_invalid', message })
})
