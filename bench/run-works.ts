import { readMachine } from './measure/machine.ts'
import { installPeers } from './peers/install.ts'
import type { Fault } from './peers/floor-options.ts'
import type { PeerName } from './peers/peers.ts'
import { formatTime, Progress } from './progress.ts'
import { writeResult } from './report/files.ts'
import { formatSummary } from './report/markdown.ts'
import { buildRows, type Result } from './report/result.ts'
import type { Figures, Work } from './works/work.ts'

export interface RunOptions {
  readonly plan: readonly { readonly work: Work; readonly peers: readonly PeerName[] }[]
  readonly rounds: number
  readonly root: string
  readonly scale: number
  /** Where the results go; undefined for nowhere. */
  readonly out: string | undefined
  readonly command: string
  readonly fault?: Fault | undefined
  readonly print: (line: string) => void
}

/**
 * Runs works one after the other, and writes the results of each as soon as it is done.
 *
 * @throws FaultError as soon as messages of a peer go wrong
 */
export async function runWorks(options: RunOptions): Promise<Result[]> {
  const { rounds, print } = options
  const plan = await leaveOutLacking(options)
  if (plan.some(({ peers }) => peers.some((peer) => peer.startsWith('socketio')))) await installPeers(print)
  const estimates = plan.map(({ work, peers }) => work.estimateSeconds(peers.length, rounds) * options.scale)
  print(plan.map(({ work }, index) => `${work.name} ${formatTime(estimates[index] ?? 0)}`).join(', '))
  const progress = new Progress(print, estimates)
  const results: Result[] = []
  for (const { work, peers } of plan) {
    progress.begin(work.name)
    const result = await runWork(work, peers, options, progress)
    progress.end()
    results.push(result)
    if (options.out !== undefined) await writeResult(options.out, result)
  }
  return results
}

/** Without works that cannot run here, which are told; where that leaves none it is an error. */
async function leaveOutLacking({ plan, print }: RunOptions): Promise<RunOptions['plan']> {
  const obstacles = await Promise.all(plan.map(async ({ work }) => work.lacks?.()))
  const told = plan.flatMap(({ work }, index) =>
    obstacles[index] ? [`${work.name} cannot run: ${obstacles[index]}`] : [],
  )
  if (told.length === plan.length) throw new Error(told.join('\n'))
  for (const text of told) print(text)
  return plan.filter((_, index) => obstacles[index] === undefined)
}

async function runWork(
  work: Work,
  peers: readonly PeerName[],
  { rounds, root, scale, command, fault }: RunOptions,
  progress: Progress,
): Promise<Result> {
  const machine = await readMachine()
  const records = new Map<string, Figures[]>()
  await work.run({
    peers,
    rounds,
    root,
    scale,
    fault,
    step: (text) => progress.step(text),
    record(row, figures) {
      records.set(row, [...(records.get(row) ?? []), figures])
      const [latest] = buildRows(new Map([[row, [figures]]]), work.columns)
      const found = Object.entries(latest?.figures ?? {}).map(([key, summary]) => {
        const column = work.columns[key] ?? { title: key, decimals: 1 }
        return `${column.title} ${formatSummary(summary, column)}`
      })
      progress.step(`${row}: ${found.join(', ')}`)
    },
  })
  const { name, title, description, columns, plots } = work
  const date = new Date().toISOString().slice(0, 10)
  const rows = buildRows(records, columns)
  return {
    work: name,
    title,
    description,
    command: `${command} ${name}`,
    date,
    rounds,
    scale,
    machine,
    columns,
    rows,
    plots,
  }
}
