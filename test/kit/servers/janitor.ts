import { spawn, type ChildProcess } from 'node:child_process'
import { Socket } from 'node:net'

/**
 * What must not outlive this process, even when it is killed with SIGKILL: child processes, containers, directories.
 *
 * A small shell waits on a pipe from this process. Every change sends it the whole clean-up as one line; when the pipe
 * ends, for whatever reason, it runs the last line that it got. An orderly end leaves it nothing to do.
 */
const wards = { process: new Set<string>(), container: new Set<string>(), directory: new Set<string>() }
export type WardKind = keyof typeof wards

let janitor: ChildProcess | undefined

/** Cleans up `id` (a pid, a container's name or a directory's path) when this process dies. Undone by calling the result. */
export function guard(kind: WardKind, id: string | number): () => void {
  wards[kind].add(String(id))
  report()
  return () => {
    if (wards[kind].delete(String(id))) report()
  }
}

function report(): void {
  janitor ??= startJanitor()
  janitor.stdin?.write(`${buildCleanup()}\n`)
}

function buildCleanup(): string {
  const steps = [
    ['kill -9', wards.process],
    ['docker rm -f', wards.container],
    ['rm -rf --', wards.directory],
  ] as const
  return steps
    .filter(([, ids]) => ids.size > 0)
    .map(([command, ids]) => `${command} ${[...ids].map(quote).join(' ')}`)
    .join('; ')
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

function startJanitor(): ChildProcess {
  // Its own session: Ctrl-C in the terminal must not end it before its work.
  const script = `trap '' INT TERM HUP; while IFS= read -r line; do last=$line; done; eval "$last"`
  const child = spawn('/bin/sh', ['-c', script], { detached: true, stdio: ['pipe', 'ignore', 'ignore'], cwd: '/' })
  child.on('error', () => {})
  child.stdin.on('error', () => {})
  child.unref()
  // It waits for this process, never the other way round.
  if (child.stdin instanceof Socket) child.stdin.unref()
  return child
}
