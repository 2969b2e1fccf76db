import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { writeLicenses } from './licenses.ts'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'im-licenses-'))
})
after(() => rm(folder, { recursive: true }))

/** A package as it is installed, with empty files of these names. */
async function install(name: string, license: string, files: readonly string[]): Promise<string> {
  const place = join(folder, 'node_modules', name)
  await mkdir(place, { recursive: true })
  await writeFile(join(place, 'package.json'), JSON.stringify({ name, version: '1.2.3', license, scripts: {} }))
  for (const file of files) await writeFile(join(place, file), '')
  return place
}

test('each package has a folder with its version, its licence and its notice', async () => {
  const packages = [
    await install('@scope/some', 'Apache-2.0', ['LICENSE.md', 'NOTICE', 'README.md', 'index.js']),
    await install('free', 'Unlicense', ['index.js']),
  ]
  const target = join(folder, 'licenses')
  await writeLicenses(packages, target)
  const own = join(target, '@scope/some@1.2.3')
  assert.deepEqual((await readdir(own)).toSorted(), ['LICENSE.md', 'NOTICE', 'package.json'])
  assert.deepEqual(JSON.parse(await readFile(join(own, 'package.json'), 'utf8')), {
    name: '@scope/some',
    version: '1.2.3',
    license: 'Apache-2.0',
  })
  assert.deepEqual(await readdir(join(target, 'free@1.2.3')), ['package.json'])
})

test('a package without the text of its licence is refused', async () => {
  const packages = [await install('bare', 'MIT', ['index.js'])]
  await assert.rejects(writeLicenses(packages, join(folder, 'none')), /bare has no file with its licence, which is MIT/)
})
