import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readResults, writeResult } from './files.ts'
import { buildPage } from './markdown.ts'
import { buildRows, type Result } from './result.ts'
import { drawPlot } from './svg.ts'

const columns = { us: { title: 'µs', decimals: 1 }, rate: { title: 'messages/s', decimals: 0 } }
const records = new Map([
  [
    'im × 2',
    [
      { us: 3, rate: 1000 },
      { us: 1, rate: 3000 },
      { us: 2.25, rate: 2000 },
    ],
  ],
  ['floor & co × 4', [{ us: 4 }, { us: Number.NaN }]],
])
const bars = { kind: 'bars', name: 'cpu', title: 'CPU <µs>', columns: ['us'] } as const
const lines = { ...bars, kind: 'lines', name: 'growth' } as const
const result: Result = {
  work: 'w0',
  title: 'W0',
  description: 'A work.',
  command: 'npm run bench -- --only w0',
  date: '2026-11-26',
  rounds: 3,
  scale: 1,
  machine: { cpu: 'A CPU', cores: 2, memoryGb: 8, system: 'linux x64', versions: { Node: '26.0.0' }, loadBefore: 0.1 },
  columns,
  rows: buildRows(records, columns),
  plots: [bars, lines],
}

test('a figure is the median with the least and the most; one that a row does not have is left out', () => {
  assert.deepEqual(result.rows[0]?.figures['us'], { median: 2.25, min: 1, max: 3, values: [3, 1, 2.25] })
  assert.deepEqual(result.rows[1]?.figures, { us: { median: 4, min: 4, max: 4, values: [4] } })
})

test('the page of a work has its table, its pictures, and the machine', () => {
  const page = buildPage(result)
  assert.ok(page.includes('| im × 2 | 2.3 (1.0–3.0) | 2,000 (1,000–3,000) |\n| floor & co × 4 | 4.0 | – |'), page)
  assert.ok(page.includes('![CPU <µs>](w0-cpu.svg)'), page)
  assert.ok(page.includes('A CPU, 2 cores, 8 GB, linux x64; Node 26.0.0; load of the minute before: 0.1.'), page)
})

test('a picture is well-formed, and has a bar or a point for each figure', () => {
  const picture = drawPlot(result, bars)
  assert.match(picture, /^<svg [^>]*aria-label="CPU &lt;µs>"[^>]*>/)
  assert.ok(picture.includes('floor &amp; co × 4'), picture)
  // The background, and a bar each.
  assert.equal(picture.match(/<rect /g)?.length, 3)
  assert.equal(drawPlot(result, lines).match(/<circle /g)?.length, 2)
})

test('a new result takes the place of the former one of its work, and of no other', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'im-report-'))
  try {
    await writeFile(join(folder, 'w01-cpu.svg'), 'of another work')
    await writeResult(folder, result)
    await writeResult(folder, { ...result, plots: [lines] })
    assert.deepEqual((await readdir(folder)).toSorted(), ['w0-growth.svg', 'w0.json', 'w0.md', 'w01-cpu.svg'])
    assert.deepEqual((await readResults(folder)).get('w0'), { ...result, plots: [lines] })
  } finally {
    await rm(folder, { recursive: true })
  }
})
