import { describeMachine } from '../measure/machine.ts'
import type { Column } from './columns.ts'
import type { Result, Summary } from './result.ts'

/** The page of a work: what it is, its figures and pictures, and the machine. */
export function buildPage(result: Result): string {
  const { work, title, description, command, date, rounds, machine, columns, rows, plots } = result
  const keys = Object.keys(columns).filter((key) => rows.some(({ figures }) => figures[key] !== undefined))
  const cells = rows.map(({ name, figures }) => [
    name,
    ...keys.map((key) => formatSummary(figures[key], columns[key] ?? { title: key, decimals: 1 })),
  ])
  const table = buildTable(['', ...keys.map((key) => columns[key]?.title ?? key)], cells)
  const pictures = plots.map(({ name, title: alt }) => `![${alt}](${work}-${name}.svg)`)
  return [
    `# ${title}`,
    description,
    `${describeRounds(rounds)}; lost, doubled, disordered: none. By \`${command}\`, ${date}.`,
    table,
    ...pictures,
    describeMachine(machine),
    '',
  ].join('\n\n')
}

/** What the figures of so many rounds are. */
function describeRounds(rounds: number): string {
  return rounds === 1 ? 'One round' : `Median of ${rounds} rounds, in brackets the least and the most`
}

/** `24.9 (23.1–26.0)`, or a dash where there is none. */
export function formatSummary(summary: Summary | undefined, { decimals }: Column): string {
  if (summary === undefined) return '–'
  const { median, min, max, values } = summary
  const text = formatNumber(median, decimals)
  return values.length === 1 ? text : `${text} (${formatNumber(min, decimals)}–${formatNumber(max, decimals)})`
}

export function formatNumber(value: number, decimals: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
}

/** A table of Markdown; the first column is text, the others are numbers. */
export function buildTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...rows]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
