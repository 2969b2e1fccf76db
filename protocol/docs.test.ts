import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { codes } from './codes.ts'
import { buildDocTables } from './doc-tables.ts'
import { decodeBinary } from './frame-decoder.ts'
import { decodeJson } from './json.ts'
import { frameSpecs } from './schema.ts'

const page = new URL('../docs/protocol.md', import.meta.url)
const tables = buildDocTables()
const COMMAND = 'node protocol/docs.test.ts --write'

/** Puts every generated part between its markers. */
function fillTables(text: string): string {
  return text.replaceAll(
    /(<!-- table: (\w+) -->\n)[^]*?(\n<!-- \/table -->)/g,
    (_, begin: string, name: string, end: string) => {
      const table = tables.get(name)
      assert.ok(table !== undefined, `docs/protocol.md asks for the table ${name}, which there is not`)
      return `${begin}\n${table}\n${end}`
    },
  )
}

if (process.argv.includes('--write')) writeFileSync(page, fillTables(readFileSync(page, 'utf8')))
const text = readFileSync(page, 'utf8')

test('the tables of docs/protocol.md are those of the code', () => {
  assert.equal(text, fillTables(text), `docs/protocol.md is out of date; run: ${COMMAND}`)
})

test('docs/protocol.md has every table once', () => {
  const shown = [...text.matchAll(/<!-- table: (\w+) -->/g)].map(([, name]) => name)
  assert.equal(shown.length, tables.size)
  assert.deepEqual(new Set(shown), new Set(tables.keys()))
})

test('every example in hex decodes to the JSON above it', () => {
  const blocks = [...text.matchAll(/```(json|hex)\n([^]*?)```/g)].map(([, kind, content = '']) => ({ kind, content }))
  const examples = blocks.flatMap(({ kind, content }, index) => {
    if (kind !== 'hex') return []
    const json = blocks[index - 1]
    assert.equal(json?.kind, 'json', `no JSON stands above ${content}`)
    return [{ json: json?.content ?? '', hex: content.replaceAll(/#.*|\s/g, '') }]
  })
  for (const { json, hex } of examples) {
    assert.match(hex, /^([0-9a-f]{2})+$/)
    assert.deepEqual(decodeBinary(Uint8Array.from(Buffer.from(hex, 'hex'))), decodeJson(json))
  }
  const shown = new Set(examples.map(({ json }) => decodeJson(json).type))
  assert.deepEqual(
    frameSpecs.map(({ type }) => type).filter((type) => !shown.has(type)),
    [],
    'a frame has no example',
  )
})

test('a code that docs/protocol.md names with its number has that number', () => {
  const named = [...text.matchAll(/`(\w+)` \((4\d{3})\)/g)]
  assert.ok(named.length > 10)
  for (const [, name = '', number] of named) {
    assert.equal(Object.entries(codes).find(([code]) => code === name)?.[1].code, Number(number), name)
  }
})
