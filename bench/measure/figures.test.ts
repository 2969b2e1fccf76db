import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkPlatform, parseStat, readCpu } from './cpu.ts'
import { Ledger } from '../load/ledger.ts'
import { findQuantile } from './quantile.ts'

function receive(...numbers: number[]): Ledger {
  const ledger = new Ledger()
  for (const number of numbers) ledger.receive(number)
  return ledger
}

test('a message that came once and in order is no fault, any other is', () => {
  const faultsOf = (sent: number, ...numbers: number[]) => {
    const ledger = receive(...numbers)
    return { lost: ledger.countLost(sent), doubled: ledger.doubled, disordered: ledger.disordered }
  }
  assert.deepEqual(faultsOf(3, 1, 2, 3), { lost: 0, doubled: 0, disordered: 0 })
  assert.deepEqual(faultsOf(4, 1, 3), { lost: 2, doubled: 0, disordered: 0 })
  assert.deepEqual(faultsOf(3, 1, 2, 2, 3, 1), { lost: 0, doubled: 2, disordered: 0 })
  assert.deepEqual(faultsOf(4, 2, 1, 4, 3), { lost: 0, doubled: 0, disordered: 2 })
})

test('CPU time is user and system time of a process, whatever its name', () => {
  const name = '(a) b) S 1 ('
  const line = `77 (${name}) S 1 77 77 0 -1 4194560 100 0 0 0 120 30 5 6 20 0 11 0 500 1000000`
  assert.equal(parseStat(line), 1_500_000)
  assert.throws(() => parseStat('77 (short) S 1'), /not understood/)
  assert.throws(() => checkPlatform('darwin'), /only Linux has/)
})

test('CPU time of this process rises while it works', { skip: process.platform !== 'linux' }, () => {
  const before = readCpu(process.pid)
  const { user, system } = process.cpuUsage()
  assert.ok(Math.abs(before - user - system) < 100_000, 'as Node counts it')
  while (readCpu(process.pid) === before);
})

test('a quantile lies between the values beside it', () => {
  assert.equal(findQuantile([3, 1, 2], 1 / 2), 2)
  assert.equal(findQuantile([4, 1, 2, 3], 1 / 2), 2.5)
  assert.equal(findQuantile([5, 4, 1, 2, 3], 3 / 4), 4)
  assert.equal(findQuantile([7], 1 / 4), 7)
  assert.equal(findQuantile([], 1 / 2), Number.NaN)
})
