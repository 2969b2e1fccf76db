import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runWorks, type RunOptions } from '../run-works.ts'
import { findRatios, quickPlan } from './ratios.ts'
import { judge } from './verdict.ts'

const file = fileURLToPath(new URL('../baseline.json', import.meta.url))
/** Of the usual durations: two minutes in all. */
const SCALE = 0.4

/**
 * Measures for two minutes and compares with bench/baseline.json, or writes that. Prints a line for each ratio, and the total as
 * .ci/run adds it up; resolves with the number of those that failed.
 */
export async function runQuick(
  options: Pick<RunOptions, 'rounds' | 'root' | 'fault' | 'print'> & { readonly write: boolean },
): Promise<number> {
  const { write, print, ...others } = options
  const run = { plan: quickPlan, scale: SCALE, out: undefined, command: 'npm run bench -- --quick', print }
  const found = findRatios(await runWorks({ ...others, ...run }))
  if (write) {
    const rounded = Object.entries(found).map(([name, ratio]) => [name, Number(ratio.toFixed(2))])
    await writeFile(file, `${JSON.stringify(Object.fromEntries(rounded), undefined, 2)}\n`)
  }
  const verdicts = judge(JSON.parse(await readFile(file, 'utf8')) as Record<string, number>, found)
  for (const { text } of verdicts) print(text)
  const failed = verdicts.filter(({ passed }) => !passed).length
  print(`${verdicts.length - failed} passed, ${failed} failed`)
  return failed
}
