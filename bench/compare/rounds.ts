import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { findQuantile } from '../measure/quantile.ts'
import type { Columns } from '../report/columns.ts'

/** A checkout whose code is measured. */
export interface Version {
  readonly name: 'A' | 'B'
  /** Absolute. */
  readonly folder: string
}

/** A version that runs, warmed up and at rest. */
export interface Subject<Key extends string> extends AsyncDisposable {
  /** Loads it for a short time, a slice, measures, and leaves it at rest. */
  measure(): Promise<Record<Key, number>>
}

export interface Rounds<Key extends string> {
  readonly versions: readonly Version[]
  /** How often the versions are started anew. */
  readonly rounds: number
  /** How often each is measured in a round. */
  readonly slices: number
  readonly columns: Columns<Key>
  readonly open: (version: Version) => Promise<Subject<Key>>
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
 * Measures the versions in turn and prints their medians. Of two it prints how A compares with B: the median, and the
 * quartiles, of the ratios of slices that were measured one right after the other. The speed of a machine that does other
 * things changes from second to second, by more than most changes of the code do; it hardly does between neighbours.
 */
export async function runRounds<Key extends string>(options: Rounds<Key>): Promise<void> {
  const { versions, columns, print } = options
  const keys = Object.keys(columns) as Key[]
  const printRow = (label: string, cell: (key: Key) => string) =>
    print(label.padEnd(18) + keys.map((key) => cell(key).padStart(columns[key].title.length + 3)).join(''))
  const printMedians = (when: string, slices: readonly Record<Key, number>[][]) => {
    for (const [index, { name }] of versions.entries()) {
      const median = (key: Key) =>
        findQuantile(
          slices.map((slice) => slice[index]?.[key] ?? Number.NaN),
          1 / 2,
        )
      printRow(`${when} ${name}`, (key) => median(key).toFixed(columns[key].decimals))
    }
  }

  for (const { name, folder } of versions) print(`${name}: ${folder}`)
  printRow('', (key) => columns[key].title)
  const all: Record<Key, number>[][] = []
  for (let round = 1; round <= options.rounds; round++) {
    const slices = await runRound(options)
    printMedians(`round ${round},`, slices)
    all.push(...slices)
  }
  printMedians('median of', all)
  if (versions.length < 2) return
  const ratios = (key: Key) => all.map(([a, b]) => (a && b ? a[key] / b[key] : Number.NaN))
  printRow('ratio A / B', (key) => findQuantile(ratios(key), 1 / 2).toFixed(2))
  printRow('  lower quartile', (key) => findQuantile(ratios(key), 1 / 4).toFixed(2))
  printRow('  upper quartile', (key) => findQuantile(ratios(key), 3 / 4).toFixed(2))
}

/** The figures of each slice, in the order of the versions. */
async function runRound<Key extends string>(options: Rounds<Key>): Promise<Record<Key, number>[][]> {
  await using stack = new AsyncDisposableStack()
  const subjects: Subject<Key>[] = []
  for (const version of options.versions) subjects.push(stack.use(await options.open(version)))
  const slices: Record<Key, number>[][] = []
  for (let slice = 0; slice < options.slices; slice++) {
    // A B, B A, and so on: what only rises or falls meanwhile favours neither.
    const order = slice % 2 === 0 ? subjects : subjects.toReversed()
    const figures = []
    for (const subject of order) figures.push(await subject.measure())
    slices.push(slice % 2 === 0 ? figures : figures.toReversed())
  }
  return slices
}
