// npm run check: types, lint, format, dead exports, import arrows. Runs them all, then says which failed and why.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { findViolations, readImportGraph } from './import-graph.ts'
import { onInterrupt } from './interrupt.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const DEADLINE_MS = 3 * 60_000

interface Outcome {
  readonly name: string
  readonly problems: string
  readonly seconds: number
}

/** Runs a tool of node_modules with this Node; resolves with its output when it failed, else with nothing. */
function runTool(bin: string, ...args: string[]): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const child = spawn(process.execPath, [`node_modules/.bin/${bin}`, ...args], {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: DEADLINE_MS,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  child.once('error', (error) => resolve(error.message))
  child.once('close', (code, signal) =>
    resolve(code === 0 ? '' : output.trim() || `ended with ${signal ?? `code ${code}`}`),
  )
  return promise
}

const checks: Record<string, () => Promise<string> | string> = {
  types: () => runTool('tsc'),
  lint: () => runTool('oxlint', '--type-aware', '--deny-warnings'),
  format: () => runTool('prettier', '--check', '--log-level=warn', '.'),
  'dead code': () => runTool('knip', '--no-progress'),
  imports: () => findViolations(readImportGraph(root)).join('\n'),
}

onInterrupt(() => process.exit(1))
const outcomes = await Promise.all(
  Object.entries(checks).map(async ([name, check]): Promise<Outcome> => {
    const start = performance.now()
    const problems = await check()
    return { name, problems, seconds: (performance.now() - start) / 1000 }
  }),
)

const failed = outcomes.filter(({ problems }) => problems !== '')
for (const { name, problems } of failed) console.log(`--- ${name}\n${problems}\n`)
for (const { name, problems, seconds } of outcomes) {
  console.log(`${problems ? 'FAIL' : 'ok  '}  ${name.padEnd(10)} ${seconds.toFixed(1)} s`)
}
if (failed.length > 0)
  console.log('\nnpm run format and npx oxlint --type-aware --fix repair what can be repaired without thought.')
console.log(`${outcomes.length - failed.length} passed, ${failed.length} failed`)
process.exitCode = failed.length > 0 ? 1 : 0
