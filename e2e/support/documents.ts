import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

/** The shell blocks of a section of a document of the repository, in their order. */
export function readBlocks(file: string, heading: string): string[] {
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
  const [, section = ''] = text.split(`\n## ${heading}\n`)
  const [body = ''] = section.split(/^## /m)
  const blocks = [...body.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block = '']) => block)
  assert.ok(blocks.length > 0, `${file} has no commands under ${heading}`)
  return blocks
}

/** The first block that has these words. */
export function findBlock(blocks: readonly string[], words: string): string {
  const found = blocks.find((block) => block.includes(words))
  assert.ok(found, `no block has ${words}`)
  return found
}

/** The version of the package, which is that of the charts and the image. */
export const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}
