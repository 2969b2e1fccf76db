import { constants } from 'node:os'
import { buildIo } from './io.ts'
import { runProgram } from './program.ts'

/** How long output that nobody reads may hold up the end. */
const FLUSH_MS = 2_000

const stop = new AbortController()
let exitCode: number | undefined

// Signals that come again change nothing: the end is under way, and has deadlines of its own.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    exitCode ??= 128 + constants.signals[name]
    stop.abort()
  })
}
// With a starter between this process and the shell, the channel to it ends when it is gone, however it ended.
process.on('disconnect', () => process.emit('SIGHUP'))
process.channel?.unref()
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever read has seen enough, as `head` does: that is no failure.
  exitCode ??= error.code === 'EPIPE' ? 0 : 1
  stop.abort()
})
process.stderr.on('error', () => {})

const io = buildIo(process, stop.signal, () => process.emit('SIGINT'))
const code = await runProgram(process.argv.slice(2), io)

// Exiting does not wait for what a pipe has not taken yet.
const flushed = Promise.all([process.stdout, process.stderr].map(flush))
const deadline = new Promise((resolve) => {
  setTimeout(resolve, FLUSH_MS)
})
await Promise.race([flushed, deadline])
process.exit(exitCode ?? code)

function flush(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve())
  })
}
