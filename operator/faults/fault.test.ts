import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
/** Files with reasons that they are not named after: those of Redis stand together; a certificate is for people a ConfigError. */
const others: Readonly<Record<string, RegExp>> = {
  'redis-faults': /^Redis[A-Z]/,
  'certificate-missing': /^ConfigError$/,
}

function toKebabCase(reason: string): string {
  return reason.replaceAll(/(?<!^)[A-Z]/g, '-$&').toLowerCase()
}

test('every fault has a file that is named after its reason', () => {
  const misplaced: string[] = []
  for (const file of globSync('*.ts', { cwd: folder, exclude: ['*.test.ts'] })) {
    const name = basename(file, '.ts')
    for (const [, reason = ''] of readFileSync(folder + file, 'utf8').matchAll(/\breason: '(\w+)'/g)) {
      if (toKebabCase(reason) !== name && others[name]?.test(reason) !== true) misplaced.push(`${reason} in ${file}`)
    }
  }
  assert.deepEqual(misplaced, [])
})

test('no other room of the operator has words of faults', () => {
  const files = globSync('{api,build,cleanup,reads,reconcile}/*.ts', { cwd: `${folder}../`, exclude: ['**/*.test.ts'] })
  const found = files.filter((file) => /\breason: '\w+'/.test(readFileSync(`${folder}../${file}`, 'utf8')))
  assert.deepEqual(found, [])
})
