import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const legal = /^(licen[cs]e|copying|notice|copyright)/i
/** For these the name says all: they ask for no notice to be kept. */
const withoutNotice = ['Unlicense', 'CC0-1.0', '0BSD']

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license?: string
  readonly author?: unknown
  readonly repository?: unknown
}

/**
 * Writes one folder a package, with its licence and with a package.json by which scanners know its version.
 *
 * @param packages their folders
 * @throws Error when a package comes without the text of its licence
 */
export async function writeLicenses(packages: readonly string[], target: string): Promise<void> {
  for (const folder of packages) {
    const { name, version, license, author, repository } = JSON.parse(
      await readFile(join(folder, 'package.json'), 'utf8'),
    ) as Manifest
    const texts = (await readdir(folder)).filter((file) => legal.test(file))
    if (texts.length === 0 && !withoutNotice.includes(license ?? '')) {
      throw new Error(
        `${folder} has no file with its licence, which is ${license ?? 'not named'}: what is bundled needs one`,
      )
    }
    const own = join(target, `${name}@${version}`)
    await mkdir(own, { recursive: true })
    await writeFile(join(own, 'package.json'), `${JSON.stringify({ name, version, license, author, repository })}\n`)
    for (const file of texts) await cp(join(folder, file), join(own, file))
  }
}
