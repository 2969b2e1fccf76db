import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { buildRows, type Result } from '../report/result.ts'
import { findRatios, quickPlan } from './ratios.ts'
import { judge } from './verdict.ts'

test('a ratio fails when it has more than doubled, has no figure, or no baseline', () => {
  for (const [baseline, found, passed] of [
    [2, 1, true],
    [2, 2, true],
    [2, 4, true],
    [2, 4.01, false],
    [2, Number.NaN, false],
    [undefined, 1, false],
  ] as const) {
    const [verdict] = judge(baseline === undefined ? {} : { 'w1a im': baseline }, { 'w1a im': found })
    assert.equal(verdict?.passed, passed, `${found} against ${baseline}`)
    assert.match(verdict.text, passed ? /^ok {4}w1a im: / : /^FAIL {2}w1a im: /)
  }
})

test('each ratio has a baseline, and comes from a work that --quick runs', async () => {
  const figures = { gatewaysUs: 6, redisUs: 3, redis: 6 }
  const results = quickPlan.map(({ work, peers }): Result => {
    // The floor costs half.
    const half = { gatewaysUs: 3, redisUs: 1, redis: 3 }
    const records = peers.map((name) => [name, [name.startsWith('im') ? figures : half]] as const)
    return { work: work.name, rows: buildRows(new Map(records), work.columns) } as unknown as Result
  })
  const found = findRatios(results)
  assert.equal(found['w1a im gatewaysUs / floor-ack'], 2)
  assert.ok(Object.values(found).every(Number.isFinite), JSON.stringify(found))
  const baseline = JSON.parse(await readFile(new URL('../baseline.json', import.meta.url), 'utf8')) as object
  assert.deepEqual(Object.keys(baseline), Object.keys(found))
  assert.ok(Number.isNaN(findRatios([])['w1a im gatewaysUs / floor-ack']), 'a work that is missing has no ratio')
})
