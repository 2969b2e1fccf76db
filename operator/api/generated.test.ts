import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { format, resolveConfig } from 'prettier'
import { readCustomResource } from './crd-schema.ts'
import { buildFieldTable } from './field-table.ts'
import { buildTypeSource } from './type-source.ts'

const COMMAND = 'node operator/api/generated.test.ts --write'
const { schema } = readCustomResource()

function fillTables(text: string): string {
  return text.replaceAll(
    /(<!-- fields: (\w+) -->\n)[^]*?(\n<!-- \/fields -->)/g,
    (_, begin: string, part: string, end: string) => `${begin}\n${buildFieldTable(schema, part)}\n${end}`,
  )
}

/** What is generated, and from what: the text of the file as it is. */
const files = new Map<string, (text: string) => string>([
  ['operator/api/imcluster.ts', () => buildTypeSource(schema)],
  ['docs/imcluster.md', fillTables],
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

test('docs/imcluster.md has the fields of spec and of status', () => {
  const text = readFileSync(new URL('../../docs/imcluster.md', import.meta.url), 'utf8')
  assert.deepEqual(
    [...text.matchAll(/<!-- fields: (\w+) -->/g)].map(([, part]) => part),
    ['spec', 'status'],
  )
})
