import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { works } from '../works/works.ts'
import { readResults } from './files.ts'
import { fillPage } from './performance-page.ts'
import { buildPeerTable } from './peer-table.ts'
import { buildTargetTable, judgeTarget } from './performance-table.ts'
import type { Result } from './result.ts'
import { buildSizingTable } from './sizing.ts'
import { targets, type Target } from './targets.ts'

const page = new URL('../../docs/performance.md', import.meta.url)
const folder = fileURLToPath(new URL('../results', import.meta.url))

for (const [file, markers] of [
  ['docs/performance.md', ['targets', 'machines', 'sizing']],
  ['README.md', ['peers']],
] as const) {
  test(`${file} has the figures of bench/results`, async () => {
    const text = await readFile(new URL(`../../${file}`, import.meta.url), 'utf8')
    assert.equal(
      text,
      await fillPage(text, await readResults(folder)),
      'it is out of date; run: npm run bench -- --table',
    )
    for (const marker of markers) assert.ok(text.includes(`<!-- bench: ${marker} -->`), marker)
  })
}

test('what stands between markers is written anew, also where nothing does yet, and nothing else', async () => {
  const text =
    'a\n\n<!-- bench: targets -->\n<!-- /bench -->\n\nb\n\n<!-- bench: sizing -->\n\nold\n\n<!-- /bench -->\n\nc\n'
  const filled = await fillPage(text, new Map())
  assert.equal(filled.match(/^[abc]$/gm)?.length, 3, filled)
  assert.equal(filled.match(/<!-- \/bench -->/g)?.length, 2, filled)
  assert.ok(filled.includes('connections at rest') && !filled.includes('old'), filled)
  assert.equal(await fillPage(filled, new Map()), filled)
})

test('docs/performance.md shows every work and its pictures', async () => {
  const text = await readFile(page, 'utf8')
  for (const { name, plots } of works) {
    assert.ok(text.includes(`\`${name}\``), name)
    for (const plot of plots)
      assert.ok(text.includes(`../bench/results/${name}-${plot.name}.svg`), `${name}-${plot.name}`)
  }
})

test('every target names a figure of a work', () => {
  for (const { label, work: name, column, row } of targets) {
    const work = works.find((one) => one.name === name)
    assert.ok(work && column in work.columns, label)
    assert.ok(
      work.peers.some((peer) => row === peer || row.startsWith(`${peer} × `) || row.startsWith(`${peer}, `)),
      label,
    )
  }
})

test('a target is met, missed, or cannot be told', () => {
  const summary = (median: number) => ({ us: { median, min: median, max: median, values: [median] } })
  const rows = [
    { name: 'im', figures: summary(13) },
    { name: 'floor', figures: summary(10) },
  ]
  const results = new Map([['w0', { rows, scale: 1 } as unknown as Result]])
  const target = { label: '', work: 'w0', row: 'im', column: 'us', decimals: 0, before: '', target: '' }
  for (const [bound, verdict] of [
    [{ times: 13 }, 'yes'],
    [{ times: 12 }, 'no'],
    [{ times: 13, atLeast: true }, 'yes'],
    [{ times: 14, atLeast: true }, 'no'],
    [{ times: 1.3, of: 'floor' }, 'yes'],
    [{ times: 1.2, of: 'floor' }, 'no'],
    [{ times: 2, of: 'floor', below: 'floor' }, 'no'],
    [{ times: 1, of: 'nobody' }, '–'],
    [{ times: Infinity }, '–'],
  ] as [Target['bound'], string][]) {
    assert.equal(judgeTarget(results, { ...target, bound }), verdict, JSON.stringify(bound))
  }
  const short = new Map([['w0', { rows, scale: 0.1 } as unknown as Result]])
  assert.equal(judgeTarget(short, { ...target, bound: { times: 13 } }), '–', 'by a short look')
})

test('tables have dashes where nothing was measured', () => {
  assert.ok(
    !/NaN|Infinity|undefined/.test(
      buildTargetTable(new Map()) + buildSizingTable(new Map()) + buildPeerTable(new Map()),
    ),
  )
})
