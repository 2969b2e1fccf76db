// Loaded into each process of npm test. A test that failed may leave a socket or a child behind, and with it a process
// that never ends: end it, and say what it waits for.
const DEADLINE_MS = 150_000

setTimeout(() => {
  const held = process.getActiveResourcesInfo().join(', ')
  process.stderr.write(`${process.argv[1]} did not end within ${DEADLINE_MS / 1000} s; what holds it: ${held}\n`)
  process.exit(1)
}, DEADLINE_MS).unref()
