import type { Readable, Writable } from 'node:stream'

/** What a command has to do with its process. */
export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean }
  readonly stderr: Writable
  /** Aborted when the command is to end: by a signal, or because nobody reads what it prints. */
  readonly signal: AbortSignal
  /** Prints a line to standard output; resolves when it has left this process, rejects when nobody reads it. */
  print(line: string): Promise<void>
  /** Tells the user something on standard error, as `im: <code>: <text>`. */
  tell(code: string, text: string): void
  /** Does what Ctrl-C does. */
  interrupt(): void
}

/** Builds what commands use. `interrupt` is told from outside what to do. */
export function buildIo(
  { stdin, stdout, stderr }: { stdin: Io['stdin']; stdout: Io['stdout']; stderr: Writable },
  signal: AbortSignal,
  interrupt: () => void,
): Io {
  return {
    stdin,
    stdout,
    stderr,
    signal,
    interrupt,
    print: (line) =>
      new Promise((resolve, reject) => {
        stdout.write(`${line}\n`, (error) => {
          if (error) reject(error)
          else resolve()
        })
      }),
    tell: (code, text) => void stderr.write(`im: ${code}: ${text.replaceAll(/\s*\n\s*/g, ' ')}\n`),
  }
}
