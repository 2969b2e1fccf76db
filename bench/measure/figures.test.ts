import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { until } from '../../test/kit/wait.ts'
import { startChild } from '../../test/kit/servers/child.ts'
import { placePair } from '../load/load.ts'
import { checkPlatform, parseStat, readCpu, startCpuMeter } from './cpu.ts'
import { lacksOpenFiles } from './open-files.ts'
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

test('CPU time is counted by group of processes', { skip: process.platform !== 'linux' }, async () => {
  const script = (body: string) => startChild(process.execPath, ['--eval', `console.log('up'); ${body}`])
  await using busy = await script('for (;;);')
  await using idle = await script('setInterval(() => undefined, 1000)')
  for (const child of [busy, idle]) await child.waitForLine((line) => line === 'up', 60_000)
  const readMeter = startCpuMeter({ both: [busy.pid, idle.pid], busy: [busy.pid], idle: [idle.pid], none: [] })
  while (readMeter().busy < 500_000);
  // What stands still is the same for whoever reads it, however late.
  for (const child of [busy, idle]) child.kill('SIGSTOP')
  await until('both stand still', () => [busy, idle].every(({ pid }) => isStopped(pid)))
  const used = readMeter()
  assert.ok(used.idle < used.busy / 2, `${used.idle} µs at rest, ${used.busy} at work`)
  assert.equal(used.both, used.busy + used.idle)
  assert.equal(used.none, 0)
})

function isStopped(pid: number): boolean {
  return / T \d/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

test('partners are at two gateways, and every two gateways are used alike', () => {
  const uses = new Map<string, number>()
  for (let pair = 0; pair < 24; pair++) {
    const [a, b] = placePair(pair, 4)
    assert.notEqual(a, b)
    uses.set(`${a} ${b}`, (uses.get(`${a} ${b}`) ?? 0) + 1)
  }
  assert.deepEqual(
    [...uses.values()],
    Array.from({ length: 12 }, () => 2),
  )
  assert.deepEqual(placePair(7, 1), [0, 0])
})

test('a quantile lies between the values beside it', () => {
  assert.equal(findQuantile([3, 1, 2], 1 / 2), 2)
  assert.equal(findQuantile([4, 1, 2, 3], 1 / 2), 2.5)
  assert.equal(findQuantile([5, 4, 1, 2, 3], 3 / 4), 4)
  assert.equal(findQuantile([7], 1 / 4), 7)
  assert.equal(findQuantile([], 1 / 2), Number.NaN)
})

test('too few open files for so many connections are told, with what to do', () => {
  const limits = (hard: string) =>
    `Max cpu time unlimited unlimited seconds\nMax open files            1024   ${hard}   files\n`
  assert.equal(lacksOpenFiles(10_000, limits('20000')), undefined)
  assert.equal(lacksOpenFiles(10_000, limits('unlimited')), undefined)
  assert.match(
    lacksOpenFiles(10_000, limits('4096')) ?? '',
    /needs 10200 open files, and may have 4096; .*ulimit -Hn 10200/,
  )
})
