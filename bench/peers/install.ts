import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const folder = fileURLToPath(new URL('.', import.meta.url))
const INSTALL_DEADLINE_MS = 5 * 60_000

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string }>>
}

/**
 * Installs the packages of the peers, which are none of the product's, where they are missing or others than
 * bench/peers/package-lock.json names.
 *
 * @throws Error that says what it needs
 */
export async function installPeers(print: (line: string) => void): Promise<void> {
  if (await isInstalled()) return
  print('Installing Socket.IO in bench/peers with npm ci (once; some seconds) …')
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  await promisify(execFile)('npm', args, { cwd: folder, timeout: INSTALL_DEADLINE_MS }).catch((error: unknown) => {
    const output = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
    const what = 'npm ci in bench/peers failed. It needs npm and its registry, or a mirror of it set with npm config'
    throw new Error(`${what}; without it: --peers im,floor,floor-ack\n${output}`, { cause: error })
  })
}

/** Version of a peer's package, as its lock names it. */
export async function readPeerVersion(name: string): Promise<string> {
  return (await readLock('package-lock.json')).packages[`node_modules/${name}`]?.version ?? 'unknown'
}

async function isInstalled(): Promise<boolean> {
  if (!existsSync(`${folder}node_modules/.package-lock.json`)) return false
  const [wanted, found] = await Promise.all([
    readLock('package-lock.json'),
    readLock('node_modules/.package-lock.json'),
  ])
  return Object.entries(wanted.packages).every(
    ([path, { version }]) => path === '' || found.packages[path]?.version === version,
  )
}

async function readLock(file: string): Promise<Lock> {
  return JSON.parse(await readFile(folder + file, 'utf8')) as Lock
}
