import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Runs lines of a document as a reader would, with bash in the repository's folder; the first that fails ends it. What
 * they leave in the background is ended with them.
 *
 * @returns what they printed
 * @throws Error with all they printed, when one fails or they take too long
 */
export async function runShell(lines: string, timeoutMs: number, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const child = spawn('bash', ['-e', '-c', lines], {
    cwd: root,
    env: { ...process.env, ...env },
    // A process group of its own: a port-forward in the background belongs to it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const endGroup = (): void => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL')
    } catch {
      // Nothing of it is left.
    }
  }
  const timer = setTimeout(endGroup, timeoutMs)
  const exited = once(child, 'exit') as Promise<[number | null]>
  const closed = once(child, 'close')
  const [code] = await exited
  clearTimeout(timer)
  endGroup()
  await closed
  if (code === 0) return stdout
  throw new Error(
    `${code === null ? `took longer than ${timeoutMs} ms` : `ended with ${code}`}:\n${lines}\n${stdout}${stderr}`,
  )
}
