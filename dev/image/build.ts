import { cp, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundlePrograms, programs } from './bundle.ts'
import { writeLicenses } from './licenses.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Writes what the image has of ours:
 *
 * - app/gateway/main.ts and its like: the paths that commands name, whatever the release. Each is a link to a few lines of JavaScript, as
 *   Node would take 17 MB for the compiler of a file of TypeScript.
 * - app/bundle: the programs
 * - licenses: of the packages in them
 */
async function buildImage(target: string): Promise<void> {
  const app = join(target, 'app')
  const folder = join(app, 'bundle')
  const { files, packages } = await bundlePrograms(root, folder)
  await mkdir(folder, { recursive: true })
  for (const { path, contents } of files) await writeFile(path, contents)
  // Read from beside the module that is session/functions.ts otherwise.
  await cp(join(root, 'session/functions'), join(folder, 'functions'), { recursive: true })
  for (const [name, path] of Object.entries(programs)) await writeProgram(app, path, join(folder, `${name}.js`))
  for (const file of ['package.json', 'LICENSE']) await cp(join(root, file), join(app, file))
  await writeLicenses(
    packages.map((it) => join(root, it)),
    join(target, 'licenses'),
  )
}

/** Source maps have to be on before the module is loaded that has one. */
async function writeProgram(app: string, path: string, bundle: string): Promise<void> {
  const start = join(app, path.replace(/\.ts$/, '.js'))
  await mkdir(dirname(start), { recursive: true })
  await writeFile(start, `process.setSourceMapsEnabled(true)\nawait import('${relative(dirname(start), bundle)}')\n`)
  await symlink('main.js', join(app, path))
}

const [, , target] = process.argv
if (target === undefined) throw new Error('which folder? Usage: node dev/image/build.ts FOLDER')
await buildImage(target)
