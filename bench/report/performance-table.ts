import { describeMachine } from '../measure/machine.ts'
import { buildTable, formatNumber } from './markdown.ts'
import type { Result } from './result.ts'
import { targets, type Target } from './targets.ts'

export type Results = ReadonlyMap<string, Result>

/** Every target with its figures before and now; a dash where a work has no result. */
export function buildTargetTable(results: Results): string {
  const rows = targets.map((target) => {
    const { label, work, decimals, before, beside } = target
    const now = findMedian(results, target, target.row)
    const other = beside === undefined ? undefined : findMedian(results, target, beside)
    const ratio = now !== undefined && other ? `${(now / other).toFixed(2)} × ${beside}` : '–'
    const text = now === undefined ? '–' : formatNumber(now, decimals)
    return [label, before, text, target.target, judgeTarget(results, target), ratio, `\`${work}\``]
  })
  return buildTable(['', '0.2.0', 'now', 'target', 'met', 'beside it', 'work'], rows)
}

/** `yes`, `no`, or a dash where there is nothing to compare, or only a short look was had. */
export function judgeTarget(results: Results, target: Target): string {
  const { times, of, atLeast, below } = target.bound
  const now = findMedian(results, target, target.row)
  const other = of === undefined ? 1 : findMedian(results, target, of)
  const short = results.get(target.work)?.scale !== 1
  if (short || now === undefined || other === undefined || times === Infinity) return '–'
  const limit = times * other
  const rival = below === undefined ? Infinity : (findMedian(results, target, below) ?? Infinity)
  return (atLeast ? now >= limit : now <= limit) && now < rival ? 'yes' : 'no'
}

/** Where and when each work was measured. */
export function buildMachineList(results: Results): string {
  const describe = ({ work, command, date, machine }: Result) =>
    `- \`${work}\`: ${date}, by \`${command}\`. ${describeMachine(machine)}`
  return [...results.values()].map(describe).join('\n')
}

function findMedian(results: Results, { work, column }: Target, row: string): number | undefined {
  return results.get(work)?.rows.find(({ name }) => name === row)?.figures[column]?.median
}
