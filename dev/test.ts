// npm test: runs every test that needs no Kubernetes.
//
//   npm test -- [part of a path …] [--name pattern]
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { onInterrupt } from './interrupt.ts'
import { RunningTests } from './running-tests.ts'
import { provideServers } from '../test/kit/servers/server-binary.ts'

// Against tests that hang, not slow ones: all that a machine needs that is four times slower, and busy.
const TEST_DEADLINE_MS = 10 * 60_000
const FILE_DEADLINE_SECONDS = 15 * 60
const TOTAL_DEADLINE_MS = 60 * 60_000
/** A test that takes longer is named while it runs. */
const LONG_MS = 2 * 60_000

const { values, positionals } = parseArgs({ allowPositionals: true, options: { name: { type: 'string' } } })
const root = fileURLToPath(new URL('..', import.meta.url))
process.chdir(root)

const files = globSync('**/*.test.ts', { exclude: ['node_modules', 'e2e'] })
  .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)))
  .toSorted()
if (files.length === 0) {
  console.error(`no test file's path has ${positionals.join(' or ')} in it`)
  process.exit(1)
}

try {
  await provideServers(console.error)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}

// Whoever cannot have it sees one test fail, which says so.
if (files.some((file) => file.includes('haproxy'))) {
  await provideServers(console.error, ['haproxy']).catch((error: unknown) => console.error(String(error)))
}

const running = new RunningTests(root)
const tellRunning = (longerThanMs = 0) => {
  for (const line of running.describe(longerThanMs)) console.error(`still running: ${line}`)
}
const stop = new AbortController()
onInterrupt((signal, times) => {
  if (times > 1) process.exit(1)
  console.error(`${signal}: stopping the tests`)
  tellRunning()
  stop.abort()
})
const total = setTimeout(() => {
  console.error(`the tests did not end within ${TOTAL_DEADLINE_MS / 60_000} minutes`)
  tellRunning()
  stop.abort()
}, TOTAL_DEADLINE_MS)

const durations: { file: string; seconds: number }[] = []
let passed = 0
let failed = 1
const events = run({
  files,
  // Tests mostly wait, for processes and sockets: one more than there are cores keeps those busy.
  concurrency: availableParallelism() + 1,
  timeout: TEST_DEADLINE_MS,
  execArgv: ['--import', new URL(`file-deadline.ts?seconds=${FILE_DEADLINE_SECONDS}`, import.meta.url).href],
  signal: stop.signal,
  ...(values.name !== undefined && { testNamePatterns: [values.name] }),
})
running.watch(events, (line) => console.error(`never ended: ${line}`))
const long = setInterval(() => tellRunning(LONG_MS), LONG_MS)
events.on('test:summary', ({ file, success, counts, duration_ms }) => {
  // Each file has a summary; the last one, of all files, names none.
  if (file !== undefined) {
    durations.push({ file: relative(root, file), seconds: duration_ms / 1000 })
    return
  }
  passed = counts.passed
  failed = Math.max(counts.tests - counts.passed - counts.skipped - counts.todo, success ? 0 : 1)
})
events.compose(spec).pipe(process.stdout)
events.once('end', () => {
  clearTimeout(total)
  clearInterval(long)
  process.exitCode = failed > 0 || passed === 0 || stop.signal.aborted ? 1 : 0
  // After the reporter's own summary, the one line that .ci/run adds up.
  setImmediate(() => {
    const slowest = durations.toSorted((a, b) => b.seconds - a.seconds).slice(0, 5)
    console.log(`slowest: ${slowest.map(({ file, seconds }) => `${file} ${seconds.toFixed(1)} s`).join(', ')}`)
    console.log(`${passed} passed, ${failed} failed`)
  })
})
