// Runs a TypeScript file of this repository with Node 26, on a machine that may have no more than Node 20 and npm:
//
//   node dev/bootstrap.mjs <file.ts> [arguments]
//
// Installs the dependencies first when they are missing or are not those of package-lock.json. Plain JavaScript without
// dependencies, since it runs before either is there.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const node26 = join(root, 'node_modules/node/bin/node')
const isNode26 = Number.parseInt(process.versions.node, 10) >= 26
const INSTALL_DEADLINE_MS = 10 * 60_000

/** Whether what npm noted down at its last install, which it writes last of all, is what package-lock.json wants. */
function isInstalled() {
  try {
    const wanted = readPackages('package-lock.json')
    const installed = readPackages('node_modules/.package-lock.json')
    return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
      const found = installed[path]
      // Optional packages of other platforms are not installed.
      return path === '' || (found ? found.version === version && found.integrity === integrity : optional)
    })
  } catch {
    return false
  }
}

function readPackages(file) {
  return JSON.parse(readFileSync(join(root, file), 'utf8')).packages
}

function fail(message) {
  console.error(message)
  process.exit(1)
}

function install() {
  console.error('Installing the dependencies with npm ci (once; a minute or less) …')
  // Standard output belongs to the program that is run afterwards.
  const { status, error } = spawnSync('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    timeout: INSTALL_DEADLINE_MS,
  })
  if (error) fail(`npm ci could not be run to its end: ${error.message}`)
  if (status !== 0) fail('npm ci failed, see above. It needs the npm registry, or a mirror of it set with npm config.')
}

/** What keeps Node 26 from running here; empty when nothing does. */
function findObstacle() {
  const { status, stderr, error } = spawnSync(node26, ['--version'], { encoding: 'utf8' })
  return status === 0 ? '' : (error?.message ?? stderr.trim())
}

/** Node 26 needs a library that a minimal Debian has not. */
function installLibatomic() {
  const script = 'apt-get update -qq && apt-get install -y -qq --no-install-recommends libatomic1 >/dev/null'
  const isRoot = process.getuid?.() === 0
  if (!isRoot && spawnSync('sudo', ['-n', 'true']).status !== 0) return
  const command = isRoot ? ['sh', '-c', script] : ['sudo', '-n', 'sh', '-c', script]
  console.error('Node 26 needs the library libatomic.so.1; installing the package libatomic1 with apt-get …')
  spawnSync(command[0], command.slice(1), { stdio: ['ignore', 2, 2], timeout: INSTALL_DEADLINE_MS })
}

/** Makes sure that the Node 26 of the package `node` can be run. */
function provideNode26() {
  if (!existsSync(node26)) {
    fail(
      `Node 26 is needed; this is ${process.version}, and the install script of the package "node", which brings Node 26, ` +
        'has not been run (is ignore-scripts set?).\nRun this once, or use Node 26 or later yourself:\n\n' +
        '  npm rebuild node --ignore-scripts=false\n',
    )
  }
  if (findObstacle().includes('libatomic')) installLibatomic()
  const obstacle = findObstacle()
  if (obstacle === '') return
  const advice = obstacle.includes('libatomic') ? 'Install it (Debian, Ubuntu: apt install libatomic1), or use' : 'Use'
  fail(`Node 26 from the package "node" does not run here: ${obstacle}\n${advice} Node 26 or later yourself.`)
}

if (!isInstalled()) install()
if (!isNode26) provideNode26()

// The channel tells the program when this process is gone, however it ended.
const program = spawn(isNode26 ? process.execPath : node26, process.argv.slice(2), {
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
})
program.on('error', (error) => fail(`Node 26 could not be started: ${error.message}`))
program.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => program.kill(signal))
