import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { buildSettingsTable, parseSettings } from './settings.ts'

test('without settings there are defaults', () => {
  const settings = parseSettings({ IM_OPERATOR_WATCH_NAMESPACE: '' })
  assert.deepEqual([settings.namespace, settings.watchNamespace, settings.adminPort], ['default', '', 8081])
})

test('every mistake is told at once, also a variable that is no setting', () => {
  assert.throws(
    () => parseSettings({ IM_OPERATOR_ADMIN_PORT: 'x', IM_OPERATOR_CONCURRENCY: '0', IM_OPERATOR_NAMESPACES: 'a' }),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'SETTINGS_INVALID')
      for (const name of ['ADMIN_PORT', 'CONCURRENCY', 'NAMESPACES']) assert.match(error.message, new RegExp(name))
      return true
    },
  )
})

const page = new URL('../docs/settings.md', import.meta.url)

/** Puts the table between its markers. */
function fillTable(text: string): string {
  return text.replace(
    /(<!-- table: operator settings -->\n)[^]*?(<!-- \/table -->)/,
    (_, begin: string, end: string) => `${begin}\n${buildSettingsTable()}\n\n${end}`,
  )
}

if (process.argv.includes('--write')) writeFileSync(page, fillTable(readFileSync(page, 'utf8')))

test('docs/settings.md shows every setting as it is', () => {
  const text = readFileSync(page, 'utf8')
  assert.ok(text.includes(buildSettingsTable()), 'out of date; run: node operator/settings.test.ts --write')
  assert.equal(text, fillTable(text))
})
