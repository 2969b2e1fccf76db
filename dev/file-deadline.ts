// Loaded into each process of npm test and npm run e2e, as `file-deadline.ts?seconds=N`. A test that failed may leave a
// socket or a child behind, and with it a process that never ends: end it, and say what it waits for.
const seconds = Number(new URL(import.meta.url).searchParams.get('seconds'))

setTimeout(() => {
  const held = process.getActiveResourcesInfo().join(', ')
  process.stderr.write(`${process.argv[1]} did not end within ${seconds} s; what holds it: ${held}\n`)
  process.exit(1)
}, seconds * 1000).unref()
