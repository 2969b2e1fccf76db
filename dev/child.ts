import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { guard } from './janitor.ts'

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
  lines(): readonly string[]
  /** Resolves with the first line, past or future, that satisfies `predicate`; rejects at the deadline or on exit. */
  waitForLine(predicate: (line: string) => boolean, timeoutMs: number): Promise<string>
  kill(signal: NodeJS.Signals): void
  /** Sends `signal` and waits; SIGKILL follows after `deadlineMs`. */
  stop(signal?: NodeJS.Signals, deadlineMs?: number): Promise<Exit>
}

const KEPT_LINES = 200

/** Starts `file`. Rejects when it cannot be started; never retries. */
export async function startChild(
  file: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; detached?: boolean; onLine?: (line: string) => void } = {},
): Promise<Child> {
  const { onLine, ...spawnOptions } = options
  const spawned = spawn(file, args, { ...spawnOptions, stdio: ['ignore', 'pipe', 'pipe'] })
  await once(spawned, 'spawn')
  const pid = spawned.pid
  if (pid === undefined) throw new Error(`${file} has no pid`)

  const release = guard('process', pid)
  const lines: string[] = []
  const listeners = new Set<(line: string) => void>()
  if (onLine) listeners.add(onLine)
  for (const input of [spawned.stdout, spawned.stderr]) {
    createInterface({ input, crlfDelay: Infinity }).on('line', (line) => {
      lines.push(line)
      if (lines.length > KEPT_LINES) lines.shift()
      for (const listener of listeners) listener(line)
    })
  }

  let running = true
  const exited = new Promise<Exit>((resolve) => {
    spawned.once('exit', () => {
      running = false
      release()
    })
    // 'close' comes after the last line was read; a grandchild that keeps a pipe open must not hold it up for ever.
    spawned.once('exit', (code, signal) => {
      const done = (): void => {
        clearTimeout(timer)
        resolve({ code, signal })
      }
      const timer = setTimeout(done, 1000)
      spawned.once('close', done)
    })
  })

  const child: Child = {
    pid,
    exited,
    get running() {
      return running
    },
    lines: () => lines,
    waitForLine(predicate, timeoutMs) {
      const found = lines.find(predicate)
      if (found !== undefined) return Promise.resolve(found)
      return new Promise((resolve, reject) => {
        const finish = (act: () => void): void => {
          clearTimeout(timer)
          listeners.delete(listener)
          act()
        }
        const fail = (what: string): void =>
          finish(() =>
            reject(new Error(`${file} (pid ${pid}) ${what}; its last output:\n${lines.slice(-10).join('\n')}`)),
          )
        const listener = (line: string): void => {
          if (predicate(line)) finish(() => resolve(line))
        }
        const timer = setTimeout(() => fail(`printed no such line within ${timeoutMs} ms`), timeoutMs)
        listeners.add(listener)
        void exited.then(({ code, signal }) => fail(`ended with ${signal ?? `code ${code}`}`))
      })
    },
    kill(signal) {
      if (running) spawned.kill(signal)
    },
    async stop(signal = 'SIGTERM', deadlineMs = 10_000) {
      child.kill(signal)
      // A stopped process acts on no signal but SIGKILL until it is continued.
      if (signal !== 'SIGKILL') child.kill('SIGCONT')
      const deadline = new AbortController()
      await Promise.race([exited, delay(deadlineMs, undefined, { signal: deadline.signal }).catch(() => {})])
      deadline.abort()
      child.kill('SIGKILL')
      return exited
    },
    async [Symbol.asyncDispose]() {
      await child.stop()
    },
  }
  return child
}
