import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/**
 * Files that leave the operator and the nodes as they are run in lanes: one file at a time has the node ports, and those that need
 * none run beside it in two more. All others have the cluster for themselves.
 */
const LANES = [
  ['autoscaler', 'life-cycle', 'neighbours', 'rolling-restart', 'tls'],
  ['image', 'memory', 'mistakes', 'servers-away', 'stuck'],
  ['cut-off', 'departures', 'secrets', 'servers-misconfigured'],
].map((names) => new Set(names.map((name) => `e2e/${name}.e2e.ts`)))

interface Result {
  readonly ended: boolean
  readonly pass: number
  readonly fail: number
}

/** Runs test files, prints what they print and then one line of totals. Returns whether all passed. */
export async function runTests(files: readonly string[], folder: string): Promise<boolean> {
  // The tests end first, then the cluster is deleted as always.
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  const lanes = LANES.map((lane) => files.filter((file) => lane.has(file)))
  const alone = files.filter((file) => !LANES.some((lane) => lane.has(file)))
  const results = await Promise.all(lanes.map((lane, at) => runInOrder(lane, folder, at === 0, stop.signal)))
  results.push(await runInOrder(alone, folder, true, stop.signal))
  const sum = (count: 'pass' | 'fail') => results.reduce((total, result) => total + result[count], 0)
  process.stdout.write(`${sum('pass')} passed, ${sum('fail')} failed\n`)
  return results.every(({ ended, fail }) => ended && fail === 0)
}

/** Prints at once what the files print, or in the end, so that two lanes do not mix. */
async function runInOrder(
  files: readonly string[],
  folder: string,
  atOnce: boolean,
  stop: AbortSignal,
): Promise<Result> {
  const counts = { pass: 0, fail: 0 }
  if (files.length === 0 || stop.aborted) return { ended: !stop.aborted, ...counts }
  const deadline = new URL('../../dev/file-deadline.ts?seconds=600', import.meta.url).href
  const args = ['--test', '--test-concurrency=1', '--test-timeout=600000', '--import', deadline, ...files]
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  stop.addEventListener('abort', () => void child.kill('SIGTERM'))
  const exited = once(child, 'exit') as Promise<[code: number | null]>
  const kept: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    if (atOnce) process.stdout.write(`${line}\n`)
    else kept.push(`${line}\n`)
    const count = /^ℹ (pass|fail|cancelled) (\d+)$/.exec(line)
    if (count !== null) counts[count[1] === 'pass' ? 'pass' : 'fail'] += Number(count[2])
  }
  process.stdout.write(kept.join(''))
  const [code] = await exited
  return { ended: code === 0, ...counts }
}
