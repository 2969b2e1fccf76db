import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

export interface CommandOptions {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Deadline, 60 s unless told otherwise. */
  readonly timeoutMs?: number
}

/** Runs a program and returns what it printed. Rejects, with its error output, when it fails or takes too long. */
export async function run(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { input, env, cwd, timeoutMs = 60_000 } = options
  const running = execute(file, [...args], {
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: 64 * 1024 * 1024,
    ...(env !== undefined && { env: { ...process.env, ...env } }),
    ...(cwd !== undefined && { cwd }),
  })
  // A program that ends without reading is no failure of ours.
  running.child.stdin?.on('error', () => undefined).end(input ?? '')
  try {
    return (await running).stdout
  } catch (cause) {
    const { stderr = '', killed } = cause as { stderr?: string; killed?: boolean }
    const what = killed === true ? `took longer than ${timeoutMs} ms` : 'failed'
    throw new Error(`${file} ${args.join(' ')} ${what}: ${stderr.trim()}`, { cause })
  }
}
