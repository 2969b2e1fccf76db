import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { format, resolveConfig } from 'prettier'
import { readCustomResource } from './crd-schema.ts'
import { buildFieldSummary, buildFieldTable } from './field-table.ts'
import { buildTypeSource } from './type-source.ts'

const COMMAND = 'node operator/api/generated.test.ts --write'
const { schema } = readCustomResource()

function fillTables(text: string): string {
  return text.replaceAll(
    /(<!-- (fields|summary): (\w+) -->\n)[^]*?(\n<!-- \/\2 -->)/g,
    (_, begin: string, kind: string, part: string, end: string) => {
      const build = kind === 'fields' ? buildFieldTable : buildFieldSummary
      return `${begin}\n${build(schema, part)}\n${end}`
    },
  )
}

/** What is generated, and from what: the text of the file as it is. */
const files = new Map<string, (text: string) => string>([
  ['operator/api/imcluster.ts', () => buildTypeSource(schema)],
  ['docs/imcluster.md', fillTables],
  ['README.md', fillTables],
])

for (const [name, build] of files) {
  const path = fileURLToPath(new URL(`../../${name}`, import.meta.url))
  const pretty = async (text: string) => await format(text, { ...(await resolveConfig(path)), filepath: path })
  if (process.argv.includes('--write')) writeFileSync(path, await pretty(build(readFileSync(path, 'utf8'))))

  test(`${name} is what crds/imcluster.yaml says`, async () => {
    const text = readFileSync(path, 'utf8')
    assert.equal(text, await pretty(build(text)), `${name} is out of date; run: ${COMMAND}`)
  })
}

function findTables(name: string): string[] {
  const text = readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
  return [...text.matchAll(/<!-- ((?:fields|summary): \w+) -->/g)].map(([, table = '']) => table)
}

test('docs/imcluster.md has the fields of spec and of status, README.md a summary of those of spec', () => {
  assert.deepEqual(findTables('docs/imcluster.md'), ['fields: spec', 'fields: status'])
  assert.deepEqual(findTables('README.md'), ['summary: spec'])
})
