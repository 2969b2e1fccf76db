import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { guard } from './janitor.ts'
import { createLineLog } from './line-log.ts'

/** How a process ended: one of the two is null. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process that dies with this one, and whose output is read line by line. */
export interface Child extends AsyncDisposable {
  readonly pid: number
  readonly exited: Promise<Exit>
  readonly running: boolean
  /** The newest lines of both outputs, at most 200. */
  readonly lines: readonly string[]
  /** Resolves with the first line, past or future, that satisfies `predicate`; rejects at the deadline or on exit. */
  waitForLine(predicate: (line: string) => boolean, timeoutMs: number): Promise<string>
  /** An error that says what the process did, and shows its last output. */
  describe(what: string): Error
  kill(signal: NodeJS.Signals): void
  /** Sends `signal` and waits; SIGKILL follows after `deadlineMs`. */
  stop(signal?: NodeJS.Signals, deadlineMs?: number): Promise<Exit>
}

interface ChildOptions {
  /** What errors call it; by default the file. */
  readonly name?: string
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Sees each line of output. */
  readonly onLine?: (line: string) => void
}

const KEPT_LINES = 200
/** How long to wait for the rest of the output when a process is gone and something still holds its pipe. */
const OUTPUT_DEADLINE_MS = 1000

/** Starts `file` in a process group of its own, out of reach of a terminal's Ctrl-C. Rejects when it cannot be started. */
export async function startChild(file: string, args: readonly string[], options: ChildOptions = {}): Promise<Child> {
  const { name = file, env, cwd, onLine } = options
  const spawned = spawn(file, args, { env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const { pid } = spawned
  if (pid === undefined) {
    const [cause] = (await once(spawned, 'error')) as unknown[]
    throw new Error(`${name} cannot be started`, { cause })
  }
  const release = guard('process', pid)
  const log = createLineLog<string>(KEPT_LINES)
  for (const input of [spawned.stdout, spawned.stderr]) {
    createInterface({ input, crlfDelay: Infinity }).on('line', (line) => {
      log.add(line)
      onLine?.(line)
    })
  }

  let running = true
  const { promise: exited, resolve } = Promise.withResolvers<Exit>()
  spawned.once('exit', (code, signal) => {
    running = false
    release()
    const finish = (): void => {
      clearTimeout(timer)
      log.end(() => describe(`ended with ${describeExit({ code, signal })}`))
      resolve({ code, signal })
    }
    const timer = setTimeout(finish, OUTPUT_DEADLINE_MS)
    spawned.once('close', finish)
  })
  function describe(what: string): Error {
    return new Error(`${name} (pid ${pid}) ${what}; its last output:\n${log.entries.slice(-10).join('\n')}`)
  }
  function kill(signal: NodeJS.Signals): void {
    if (running) spawned.kill(signal)
  }
  async function stop(signal: NodeJS.Signals = 'SIGTERM', deadlineMs = 10_000): Promise<Exit> {
    kill(signal)
    // A process that was stopped acts on SIGTERM only once it is continued.
    kill('SIGCONT')
    const settled = new AbortController()
    await Promise.race([exited, delay(deadlineMs, undefined, { signal: settled.signal }).catch(() => {})])
    settled.abort()
    kill('SIGKILL')
    return exited
  }

  return {
    pid,
    exited,
    get running() {
      return running
    },
    lines: log.entries,
    waitForLine: (predicate, timeoutMs) => log.waitFor(predicate, timeoutMs, describe),
    describe,
    kill,
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
    },
  }
}

/** `code 1` or `SIGKILL`. */
export function describeExit({ code, signal }: Exit): string {
  return signal ?? `code ${code}`
}
