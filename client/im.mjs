#!/usr/bin/env node
// The `im` command. Plain JavaScript, since it may be started by a Node too old to run TypeScript: then it starts the Node 26 that
// the package `node` brings.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const main = new URL('cli/main.ts', import.meta.url)

if (Number.parseInt(process.versions.node, 10) >= 26) await import(main.href)
else {
  const node = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))
  if (existsSync(node)) run(node)
  else {
    console.error(
      `im: node_too_old: this is Node ${process.versions.node}; run \`npm install\` here, or use Node 26 or later`,
    )
    process.exit(1)
  }
}

function run(node) {
  const child = spawn(node, [fileURLToPath(main), ...process.argv.slice(2)], {
    // The channel tells the child when this process is gone.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  // A terminal sends its signals to both processes; the child takes a second one for the same.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name))
  child.on('error', (error) => {
    console.error(`im: node_failed: ${node} cannot be started: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    // Ended by a signal: end by the same one, as if there were no process in between.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
