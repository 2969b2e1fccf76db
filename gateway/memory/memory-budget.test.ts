import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { MemoryBudget, type MemoryAccount } from './memory-budget.ts'
import type { MemoryWaiter } from './memory-queue.ts'

const LIMIT = 8_000_000
/** What is left to those who hold little. */
const LAST = LIMIT / 8

function open() {
  const told = { pressure: [] as boolean[], tight: 0 }
  const budget = new MemoryBudget(LIMIT, {
    pressure: (under) => void told.pressure.push(under),
    tight: () => void (told.tight += 1),
  })
  return { budget, told }
}

/** Takes pieces of `bytes` while there is room. */
function fill(account: MemoryAccount, bytes: number): void {
  while (account.room('in') >= bytes) account.charge('received', bytes)
}

test('however many are greedy, all get the same and the last part stays free', () => {
  for (const count of [1, 8, 64, 500]) {
    const { budget } = open()
    const accounts = Array.from({ length: count }, () => budget.openAccount())
    // Somebody waits: nobody gets more than a share.
    budget.queue('in').add({ roomAgain: () => false })
    for (let round = 0; round < 2_000; round++)
      for (const account of accounts) if (account.room('in') >= 500) account.charge('received', 500)
    const held = accounts.map(({ bytes }) => bytes)
    assert.ok(budget.free >= LAST, `${count} leave ${budget.free}`)
    // Those who hold little have a little more.
    assert.ok(
      Math.max(...held) - Math.min(...held) <= 4_096,
      `${count} hold ${Math.min(...held)} to ${Math.max(...held)}`,
    )
    assert.equal(
      held.reduce((sum, bytes) => sum + bytes, 0),
      budget.used,
    )
  }
})

test('one alone gets a ninth; who holds little still gets more when the heavy get nothing', () => {
  const { budget } = open()
  const alone = budget.openAccount()
  alone.charge('received', 1)
  budget.queue('in').add({ roomAgain: () => false })
  fill(alone, 1_000)
  assert.ok(Math.abs(alone.bytes - (LIMIT - LAST) / 9) < 5_000, String(alone.bytes))

  const heavy = budget.openAccount()
  heavy.charge('received', LIMIT - LAST - alone.bytes)
  assert.ok(alone.room('in') <= 0)
  assert.ok(heavy.room('in') <= 0)
  const light = budget.openAccount()
  assert.equal(light.room('in'), 4_096)
  light.charge('clients', 4_000)
  assert.equal(light.room('in'), 96)
  heavy.charge('received', LAST)
  assert.ok(light.room('in') <= 0, 'nothing at all is left')
})

test('who holds nothing gets one thing larger than a share, in its turn', () => {
  const { budget } = open()
  const one = budget.openAccount()
  assert.equal(one.room('in'), LIMIT - LAST)
  budget.queue('in').add({ roomAgain: () => false })
  assert.equal(one.room('in'), (LIMIT - LAST) / 8)
  assert.equal(one.room('in', true), LIMIT - LAST)
})

test('those who wait are told in order, some in a turn, each once, when something is given back', async () => {
  const { budget } = open()
  const account = budget.openAccount()
  const told: number[] = []
  const waiters = Array.from({ length: 200 }, (_, index): MemoryWaiter => ({ roomAgain: () => told.push(index) === 0 }))
  for (const waiter of waiters) budget.queue('in').add(waiter)
  // Waits already.
  budget.queue('in').add(waiters[0] as MemoryWaiter)
  budget.queue('in').delete(waiters[1] as MemoryWaiter)
  account.charge('bus', 1_000)
  await turn()
  assert.deepEqual(told, [])
  account.charge('bus', -1_000)
  await turn()
  assert.ok(told.length > 0 && told.length <= 64, `${told.length} told in one turn`)
  while (!budget.queue('in').isEmpty) await turn()
  assert.deepEqual(
    told,
    waiters.map((_, index) => index).filter((index) => index !== 1),
  )
})

test('who waits again is told again only after another release, so that nothing spins', async () => {
  const { budget } = open()
  const account = budget.openAccount()
  let told = 0
  const stubborn: MemoryWaiter = {
    roomAgain: () => {
      told += 1
      budget.queue('in').add(stubborn)
      return false
    },
  }
  budget.queue('in').add(stubborn)
  account.charge('reads', 2)
  for (const times of [1, 2]) {
    account.charge('reads', -1)
    for (let turns = 0; turns < 10; turns++) await turn()
    assert.equal(told, times)
  }
})

test('who holds nothing and is refused all the same stays the first, and is not passed by', async () => {
  const { budget } = open()
  const account = budget.openAccount()
  const told: string[] = []
  let enough = false
  const first: MemoryWaiter = {
    roomAgain: () => {
      told.push('first')
      if (!enough) budget.queue('in').add(first)
      return !enough
    },
  }
  const second: MemoryWaiter = { roomAgain: () => told.push('second') === 0 }
  budget.queue('in').add(first)
  budget.queue('in').add(second)
  account.charge('reads', 3)
  account.charge('reads', -1)
  for (let turns = 0; turns < 10; turns++) await turn()
  assert.deepEqual(told, ['first'])
  assert.ok(budget.queue('in').has(first) && budget.queue('in').has(second))
  enough = true
  account.charge('reads', -1)
  for (let turns = 0; turns < 10; turns++) await turn()
  assert.deepEqual(told, ['first', 'first', 'second'])
  assert.ok(budget.queue('in').isEmpty)

  // When it goes, the next gets its turn without another release.
  enough = false
  budget.queue('in').add(first)
  account.charge('reads', -1)
  for (let turns = 0; turns < 10; turns++) await turn()
  budget.queue('in').add(second)
  budget.queue('in').delete(first)
  for (let turns = 0; turns < 10; turns++) await turn()
  assert.deepEqual(told.slice(3), ['first', 'second'])
})

test('tight is told when only the last part is left, and again when nothing is', () => {
  const { budget, told } = open()
  const account = budget.openAccount()
  account.charge('received', LIMIT - LAST - 1)
  assert.equal(told.tight, 0)
  account.charge('received', 1)
  account.charge('received', 1)
  assert.equal(told.tight, 1)
  account.charge('received', LAST)
  account.charge('received', 1)
  assert.equal(told.tight, 2)
  account.charge('received', -LIMIT)
  account.charge('received', LIMIT)
  assert.equal(told.tight, 3)
})

test('pressure begins at three quarters and ends a second after it was last half', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { budget, told } = open()
  const account = budget.openAccount()
  account.charge('received', LIMIT * 0.74)
  assert.equal(budget.underPressure, false)
  account.charge('received', LIMIT * 0.02)
  assert.equal(budget.underPressure, true)
  account.charge('received', -LIMIT * 0.3)
  // A wave in between: the second begins anew.
  account.charge('received', LIMIT * 0.3)
  t.mock.timers.tick(1_000)
  assert.equal(budget.underPressure, true)
  account.charge('received', -LIMIT * 0.3)
  t.mock.timers.tick(999)
  assert.equal(budget.underPressure, true)
  t.mock.timers.tick(1)
  assert.equal(budget.underPressure, false)
  assert.deepEqual(told.pressure, [true, false])
})

test('what waits for clients leaves half for what they send', () => {
  const { budget } = open()
  const slow = budget.openAccount()
  slow.charge('clients', LIMIT / 4)
  slow.charge('reads', LIMIT / 4)
  assert.equal(budget.underPressure, true)
  const other = budget.openAccount()
  assert.equal(other.room('out'), 4_096)
  assert.equal(other.room('in'), LIMIT / 2 - LAST)
})

test('what is used is known by kind', () => {
  const { budget } = open()
  const [one, other] = [budget.openAccount(), budget.openAccount()]
  one.charge('received', 5)
  one.charge('clients', 7)
  other.charge('clients', 1)
  one.charge('clients', -3)
  assert.deepEqual(budget.usedBy, { received: 5, clients: 5, bus: 0, reads: 0 })
  assert.deepEqual([budget.used, one.bytes, other.bytes], [10, 9, 1])
})
