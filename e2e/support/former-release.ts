import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../test/kit/kubernetes/command.ts'
import { gatewayImage } from '../../test/kit/kubernetes/im-cluster.ts'
import { buildImage } from './kind.ts'

/** The release before this one: what upgrades are tested from. */
const VERSION = '0.1.0'
const COMMIT = '9c8164a882aa661c0fe25715557b4ae6a03d0103'

/** The image of that release, as `buildFormerImage` makes it. */
export const formerImage = `${gatewayImage}-former`

/** Why there is no former release to upgrade from, and what to do; false where there is one. */
export async function lacksFormerRelease(root: string): Promise<string | false> {
  const found = run('git', ['cat-file', '-e', `${COMMIT}^{commit}`], { cwd: root })
  const what = `the release ${VERSION}, commit ${COMMIT.slice(0, 7)}, is not in this clone's history`
  return found.then(
    () => false,
    () => `${what}: fetch it with git fetch --unshallow, or clone the repository with git clone`,
  )
}

/** The files of that release in a folder of their own, until it is disposed of. */
export async function extractFormerRelease(root: string): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), `im-${VERSION}-`))
  const archive = join(folder, 'release.tar')
  await run('git', ['archive', '--output', archive, COMMIT], { cwd: root })
  await run('tar', ['-xf', archive, '-C', folder])
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
}

/** Builds the image of that release. */
export async function buildFormerImage(root: string): Promise<void> {
  await using release = await extractFormerRelease(root)
  await buildImage([formerImage], release.folder)
}
