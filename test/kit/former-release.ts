import { execFile } from 'node:child_process'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { guard } from './servers/janitor.ts'

/** The release before this one: what runs beside it in a rolling update. */
const VERSION = '0.2.0'
const COMMIT = 'dba354b2ed651c3ed0c94aa509b657c65fcb1d4e'
/** What its gateway is made of. */
const FOLDERS = ['gateway', 'process', 'protocol', 'session', 'package.json']

const repository = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

/** Why there is no former release to run, and what to do; false where there is one. */
export async function lacksFormerRelease(): Promise<string | false> {
  const found = run('git', ['cat-file', '-e', `${COMMIT}^{commit}`], { cwd: repository })
  const what = `the release ${VERSION}, commit ${COMMIT.slice(0, 7)}, is not in this clone's history`
  return found.then(
    () => false,
    () => `${what}: fetch it with git fetch --unshallow, or clone the repository with git clone`,
  )
}

/**
 * The gateway of the former release in a folder of its own, until that is disposed of; `root` is for `startGateway`. It
 * runs with the packages of this release.
 */
export async function extractFormerRelease(): Promise<{ root: string } & AsyncDisposable> {
  const root = await mkdtemp(join(tmpdir(), `im-${VERSION}-`))
  const release = guard('directory', root)
  const archive = join(root, 'release.tar')
  await run('git', ['archive', '--output', archive, COMMIT, ...FOLDERS], { cwd: repository })
  await run('tar', ['-xf', archive, '-C', root])
  await symlink(join(repository, 'node_modules'), join(root, 'node_modules'))
  return {
    root,
    async [Symbol.asyncDispose]() {
      await rm(root, { recursive: true, force: true })
      release()
    },
  }
}
