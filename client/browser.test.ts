import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** `import … from`, `export … from`, `import '…'` and `import('…')`. */
const importPattern = /(?:^(?:import|export)\b[^'"]*?\bfrom\s*|^import\s*|\bimport\s*\(\s*)['"]([^'"]+)['"]/gm
const entry = new URL('browser.ts', import.meta.url)

/** All files that an entry needs, and what they import that is no file of ours. */
async function walkImports(from: URL): Promise<{ files: Map<string, string>; foreign: string[] }> {
  const files = new Map<string, string>()
  const foreign: string[] = []
  const waiting = [from]
  for (let file = waiting.pop(); file; file = waiting.pop()) {
    if (files.has(file.href)) continue
    const source = await readFile(file, 'utf8')
    files.set(file.href, source)
    for (const [statement, name = ''] of source.matchAll(importPattern)) {
      if (name.startsWith('.')) waiting.push(new URL(name, file))
      else foreign.push(`${statement} in ${file.pathname}`)
    }
  }
  return { files, foreign }
}

test('the browser entry needs nothing but files of its own, and nothing that only Node has', async () => {
  const { files, foreign } = await walkImports(entry)
  assert.ok(files.size > 20, 'the whole graph was walked')
  assert.deepEqual(foreign, [])
  for (const [name, source] of files) {
    const code = source.replaceAll(/\/\*[^]*?\*\/|\/\/.*$|'[^'\n]*'/gm, '')
    assert.doesNotMatch(code, /\b(Buffer|process|require|setImmediate|__dirname)\b/, name)
  }
})

test('the walk sees what the Node entry needs', async () => {
  const { foreign } = await walkImports(new URL('index.ts', import.meta.url))
  assert.ok(foreign.some((found) => found.includes('node:net')))
})

test('the browser entry loads without what only Node has', () => {
  const script = `
    for (const name of ['process', 'Buffer', 'setImmediate', 'require', 'global']) delete globalThis[name]
    const { connect } = await import(${JSON.stringify(entry.href)})
    const options = { urls: 'tcp://h:1', token: 't', device: { clientType: 'web', imei: 'x' } }
    try { connect(options) } catch (error) { console.log(error.code, error.message) }`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    encoding: 'utf8',
  })
  assert.match(stdout, /^option_invalid .*ws:\/\/, wss:\/\/\n$/, stderr)
})
