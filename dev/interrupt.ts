/**
 * Calls `action` on Ctrl-C, SIGTERM, SIGHUP, and when the bootstrap that started this process is gone. One Ctrl-C may
 * arrive several times, from the terminal, npm and the bootstrap: repeats within a second count as one.
 */
export function onInterrupt(action: (signal: NodeJS.Signals, times: number) => void): void {
  let last = -Infinity
  let times = 0
  const interrupt = (signal: NodeJS.Signals): void => {
    if (performance.now() - last < 1000) return
    last = performance.now()
    times++
    action(signal, times)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt)
  process.on('disconnect', () => interrupt('SIGTERM'))
  // Listening must not keep the process alive.
  process.channel?.unref()
}
