// Leader election against a real API server: never two leaders at once, whatever happens to their connections.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { after, beforeEach, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { LeaderElector } from './leader-election.ts'
import { buildMicroTime, leases, type LeaseSpec } from './lease.ts'
import { createNamespace, openApi, readKubeConfig, startFaultProxy, startTcpProxy, until } from './test-kit.ts'

const direct = openApi(readKubeConfig())
const namespace = await createNamespace(direct)
after(async () => {
  await namespace[Symbol.asyncDispose]()
  direct[Symbol.dispose]()
})

/** As client-go's 15, 10 and 2 seconds, but quicker. */
const times = { leaseDurationMs: 3_000, renewDeadlineMs: 2_000, retryPeriodMs: 400 }

let name = ''
/** Who leads now; more than one at any moment is the failure that matters. */
const leaders = new Set<string>()
let most = 0
beforeEach(() => {
  name = `lease-${randomUUID().slice(0, 8)}`
  leaders.clear()
  most = 0
})

/** Runs for the lease in a process-like loop of its own, until stopped. */
function startCandidate(identity: string, api = direct, config: Partial<typeof times> = {}) {
  const stop = new AbortController()
  const elector = new LeaderElector({ api, namespace: namespace.name, name, identity, ...times, ...config })
  const ends: { code: string | undefined; at: number }[] = []
  const lead = async (leading: AbortSignal): Promise<void> => {
    leaders.add(identity)
    most = Math.max(most, leaders.size)
    await once(leading, 'abort')
    leaders.delete(identity)
  }
  const candidacy = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        await elector.run(stop.signal, lead)
      } catch (error) {
        ends.push({ code: (error as { code?: string }).code, at: performance.now() })
      }
    }
  }
  const running = candidacy()
  const dispose = async () => {
    stop.abort()
    await running
  }
  return { elector, ends, stop: dispose, [Symbol.asyncDispose]: dispose }
}

const readLease = () => direct.get(leases, { namespace: namespace.name, name })
const leads =
  (...identities: string[]) =>
  () =>
    leaders.size === 1 && identities.some((one) => leaders.has(one))

test('one of two leads, renews, and hands over at once when it stops', async (t) => {
  await using a = startCandidate('a')
  await until('a leads', leads('a'), 5_000)
  assert.ok(a.elector.isLeading)
  await using b = startCandidate('b')
  const { spec: first } = await readLease()
  assert.equal(first?.holderIdentity, 'a')
  assert.equal(first?.leaseDurationSeconds, 3)
  assert.match(first?.renewTime ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  await until('a renewed', async () => (await readLease()).spec?.renewTime !== first?.renewTime, 5_000)
  const { spec: renewed } = await readLease()
  assert.deepEqual([renewed?.acquireTime, renewed?.leaseTransitions], [first?.acquireTime, 0])
  await until('b knows', () => b.elector.holder === 'a', 5_000)
  assert.ok(!b.elector.isLeading)

  const started = performance.now()
  await a.stop()
  assert.ok(!a.elector.isLeading)
  await until('b leads', leads('b'), 5_000)
  const took = performance.now() - started
  assert.ok(took < times.leaseDurationMs, `hand-over took ${took} ms, no less than running out would`)
  assert.equal((await readLease()).spec?.leaseTransitions, 1)
  assert.equal(most, 1)
  t.diagnostic(`released lease taken over in ${Math.round(took)} ms (retry period ${times.retryPeriodMs} ms)`)
})

test('a released lease names nobody', async () => {
  const a = startCandidate('a')
  await until('a leads', leads('a'), 5_000)
  await a.stop()
  const { spec } = await readLease()
  assert.deepEqual([spec?.holderIdentity ?? '', spec?.leaseDurationSeconds], ['', 1])
})

test('a leader whose connection is dead stops before the other can take over', async (t) => {
  const { proxy, config } = await startTcpProxy()
  await using _ = proxy
  using api = openApi(config)
  await using a = startCandidate('a', api)
  await until('a leads', leads('a'), 5_000)
  await using b = startCandidate('b')
  await until('b knows', () => b.elector.holder === 'a', 5_000)
  proxy.blackhole()
  const started = performance.now()
  await until('a has stopped', () => leaders.size === 0, 10_000)
  const stopped = performance.now() - started
  await until('b leads', leads('b'), 10_000)
  const taken = performance.now() - started
  assert.deepEqual(
    a.ends.map(({ code }) => code),
    ['LEASE_LOST'],
  )
  proxy.pass()
  await until('a knows', () => a.elector.holder === 'b', 10_000)
  assert.equal(most, 1)
  t.diagnostic(`silent leader stopped after ${Math.round(stopped)} ms, replaced after ${Math.round(taken)} ms`)
})

/** Renewed by a machine whose clock is an hour behind: what the times say is meaningless, that they change is not. */
function buildLateSpec(): LeaseSpec {
  const renewTime = buildMicroTime(new Date(Date.now() - 3_600_000))
  return { holderIdentity: 'late', leaseDurationSeconds: 3, renewTime, leaseTransitions: 0 }
}

test('a leader whose renewals are late, but come, is not replaced by one that only looks at clocks', async () => {
  await direct.create(leases, { metadata: { namespace: namespace.name, name }, spec: buildLateSpec() })
  await using b = startCandidate('b')
  for (let i = 0; i < 5; i += 1) {
    await delay(1_000)
    assert.ok(!b.elector.isLeading)
    await direct.patch(leases, { namespace: namespace.name, name }, { spec: buildLateSpec() })
  }
  await until('b leads once nothing changes', leads('b'), 10_000)
})

test('a leader that finds another name in the lease stops at once', async () => {
  await using a = startCandidate('a')
  await until('a leads', leads('a'), 5_000)
  const lease = { namespace: namespace.name, name }
  await direct.patch(leases, lease, { spec: { holderIdentity: 'usurper', leaseDurationSeconds: 60 } })
  const started = performance.now()
  await until('a has stopped', () => a.ends.length === 1, 5_000)
  assert.ok(performance.now() - started < times.renewDeadlineMs)
  assert.equal((await readLease()).spec?.holderIdentity, 'usurper')
})

async function isHeldByA(): Promise<boolean> {
  try {
    return (await readLease()).spec?.holderIdentity === 'a'
  } catch {
    return false
  }
}

test('a deleted lease is made again by its holder', async () => {
  await using a = startCandidate('a')
  await until('a leads', leads('a'), 5_000)
  await direct.delete(leases, { namespace: namespace.name, name })
  await until('the lease is back', isHeldByA, 5_000)
  assert.deepEqual(a.ends, [])
})

test('the lease is kept until the work has ended, and not given back when it does not', async () => {
  // Longer than elsewhere, so that a busy machine does not lose the lease.
  const patient = { leaseDurationMs: 6_000, renewDeadlineMs: 5_000, retryPeriodMs: 400 }
  const options = { api: direct, namespace: namespace.name, name, ...patient }
  const stop = new AbortController()
  const slow = new LeaderElector({ ...options, identity: 'slow' })
  let heldAtEnd: string | undefined
  await slow.run(stop.signal, async (leading) => {
    setTimeout(() => stop.abort(), 100)
    await once(leading, 'abort')
    // Longer than the lease lives: it must be renewed meanwhile.
    await delay(patient.leaseDurationMs + 500)
    heldAtEnd = (await readLease()).spec?.holderIdentity
    assert.ok(slow.isLeading)
  })
  assert.equal(heldAtEnd, 'slow')
  assert.equal((await readLease()).spec?.holderIdentity ?? '', '')

  const deaf = new LeaderElector({ ...options, identity: 'deaf', shutdownMs: 300 })
  const stopDeaf = new AbortController()
  const ignoring = deaf.run(stopDeaf.signal, () => {
    stopDeaf.abort()
    return Promise.withResolvers<void>().promise
  })
  await assert.rejects(ignoring, { code: 'DEADLINE_EXCEEDED' })
  assert.equal((await readLease()).spec?.holderIdentity, 'deaf', 'it may still be at work')
})

test('what the work throws ends the leadership, and the lease is given back', async () => {
  const elector = new LeaderElector({ api: direct, namespace: namespace.name, name, identity: 'a', ...times })
  const failing = elector.run(new AbortController().signal, () => Promise.reject(new Error('work failed')))
  await assert.rejects(failing, { message: 'work failed' })
  assert.equal((await readLease()).spec?.holderIdentity ?? '', '')
})

test('those who fight over bad connections never lead at once, and always one leads again', async (t) => {
  const [left, right, faulty] = [await startTcpProxy(), await startTcpProxy(), await startFaultProxy(7)]
  await using leftProxy = left.proxy
  await using rightProxy = right.proxy
  await using faults = faulty.proxy
  using apiA = openApi(left.config)
  using apiB = openApi(right.config)
  using apiC = openApi(faulty.config)
  await using a = startCandidate('a', apiA)
  await using b = startCandidate('b', apiB)
  await using c = startCandidate('c', apiC)
  faults.share = 0.25
  let changes = 0
  let former = ''
  const end = performance.now() + 90_000
  while (changes < 6 && performance.now() < end) {
    const [leader = ''] = leaders
    if (leader !== '' && leader !== former) changes += 1
    former = leader === '' ? former : leader
    // A network that hurts the leader most, since that is when two could lead.
    const victim = leader === 'b' ? rightProxy : leftProxy
    const step = Math.floor(Math.random() * 4)
    if (step === 0) victim.cut()
    else if (step === 1) victim.delay(300)
    else victim.blackhole()
    faults.share = leader === 'c' ? 1 : 0.25
    await delay((step < 2 ? 500 : 2_500) + Math.random() * 2_000)
    leftProxy.pass()
    rightProxy.pass()
  }
  faults.share = 0
  await until('one leads', leads('a', 'b', 'c'), 15_000)
  assert.equal(most, 1)
  const lost = [a, b, c].flatMap(({ ends }) => ends).length
  t.diagnostic(`${changes} changes of leader, ${lost} lost leases, never two leaders`)
  assert.equal(changes, 6)
})
