import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** A checkout whose code is measured. */
export interface Version {
  readonly name: 'A' | 'B'
  /** Absolute. */
  readonly folder: string
}

/** One column of the table: the figure's key, its title with the unit, and decimals. */
export type Columns<Figures> = Readonly<Record<keyof Figures & string, readonly [title: string, decimals: number]>>

export interface Rounds<Figures> {
  readonly versions: readonly Version[]
  readonly rounds: number
  readonly columns: Columns<Figures>
  readonly measure: (version: Version) => Promise<Figures>
  readonly print: (line: string) => void
}

/** A is the checkout in `folder`, B the one to compare it with, if any. */
export function findVersions(folder: string, comparedWith: string | undefined): Version[] {
  const folders = comparedWith === undefined ? [folder] : [folder, comparedWith]
  return folders.map((path, index) => {
    const version: Version = { name: index === 0 ? 'A' : 'B', folder: resolve(path) }
    const [isCheckout, isInstalled] = ['gateway/main.ts', 'node_modules'].map((it) => existsSync(join(path, it)))
    if (!isCheckout) throw new Error(`${version.folder} is no checkout of im-cluster: it has no gateway/main.ts`)
    if (!isInstalled) throw new Error(`${version.folder} has no node_modules; run npm ci there`)
    return version
  })
}

/**
 * Measures the versions in turn, A B A B …, and prints each result, the median of each version, and the ratio of the
 * medians: the machine's speed drifts, so only what was measured side by side can be compared.
 */
export async function runRounds<Figures extends Record<keyof Figures, number>>(
  options: Rounds<Figures>,
): Promise<void> {
  const { versions, rounds, columns, measure, print } = options
  const keys = Object.keys(columns) as (keyof Figures & string)[]
  const row = (label: string, cell: (key: keyof Figures & string) => string) =>
    print(label.padEnd(18) + keys.map((key) => cell(key).padStart(columns[key][0].length + 3)).join(''))
  const show = (label: string, figures: Figures) => row(label, (key) => figures[key].toFixed(columns[key][1]))

  for (const { name, folder } of versions) print(`${name}: ${folder}`)
  row('', (key) => columns[key][0])
  const results = new Map<Version, Figures[]>(versions.map((version) => [version, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const [version, found] of results) {
      const figures = await measure(version)
      found.push(figures)
      show(`round ${round}, ${version.name}`, figures)
    }
  }
  const medians = [...results.values()].map((found) => buildMedians(keys, found))
  medians.forEach((figures, index) => show(`median of ${versions[index]?.name}`, figures))
  const [a, b] = medians
  if (a && b) row('ratio A / B', (key) => (a[key] / b[key]).toFixed(2))
}

function buildMedians<Figures extends Record<keyof Figures, number>>(
  keys: readonly (keyof Figures & string)[],
  results: readonly Figures[],
): Figures {
  return Object.fromEntries(keys.map((key) => [key, findMedian(results.map((figures) => figures[key]))])) as Figures
}

/** The middle value, or the mean of the two in the middle; NaN of none. */
export function findMedian(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1)
  return middle.reduce((sum, value) => sum + value, 0) / middle.length
}
