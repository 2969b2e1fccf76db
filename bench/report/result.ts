import { findQuantile } from '../measure/quantile.ts'
import type { Machine } from '../measure/machine.ts'
import type { Columns } from './columns.ts'
import type { Plot } from './plot.ts'

export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
  /** Of each round. */
  readonly values: readonly number[]
}

export interface ResultRow {
  readonly name: string
  /** By column; a figure that a row does not have is left out. */
  readonly figures: Readonly<Record<string, Summary>>
}

/** What a work has found, as it is kept in a file of JSON. */
export interface Result {
  readonly work: string
  readonly title: string
  readonly description: string
  readonly command: string
  /** Day, as `2026-11-26`. */
  readonly date: string
  readonly rounds: number
  /** 1, or less where durations and counts were cut short. */
  readonly scale: number
  readonly machine: Machine
  readonly columns: Columns
  readonly rows: readonly ResultRow[]
  readonly plots: readonly Plot[]
}

/** Figures of the rounds of each row, as they were noted. */
export type Records = ReadonlyMap<string, readonly Readonly<Record<string, number>>[]>

/** Median, least and most of each figure of each row. */
export function buildRows(records: Records, columns: Columns): ResultRow[] {
  return [...records].map(([name, rounds]) => {
    const found = Object.keys(columns).flatMap((key) => {
      const values = rounds.flatMap((round) => (Number.isFinite(round[key]) ? [round[key] ?? 0] : []))
      return values.length > 0 ? [[key, summarize(values, columns[key]?.decimals ?? 0)] as const] : []
    })
    return { name, figures: Object.fromEntries(found) }
  })
}

function summarize(values: readonly number[], decimals: number): Summary {
  // More than is shown, less than is noise.
  const round = (value: number) => Number(value.toFixed(decimals + 2))
  return {
    median: round(findQuantile(values, 1 / 2)),
    min: round(Math.min(...values)),
    max: round(Math.max(...values)),
    values: values.map(round),
  }
}
