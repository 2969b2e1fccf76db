import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startChild } from '../test/kit/servers/child.ts'

const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href)

test('a test that hangs is named with its file and line, and those that have ended are not', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'im-running-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const hanging = join(folder, 'hanging.mjs')
  await writeFile(
    hanging,
    `import { describe, test } from 'node:test'
    setTimeout(() => process.exit(1), Number(process.env['DIE_AFTER_MS']))
    test('is over', () => {})
    describe('a group', () => {
      test('never ends', async () => {
        console.log('begun')
        await new Promise(() => {})
      })
    })`,
  )
  const runner = join(folder, 'runner.mjs')
  await writeFile(
    runner,
    `import { run } from 'node:test'
    import { RunningTests } from ${module('running-tests.ts')}
    const running = new RunningTests(${JSON.stringify(folder)})
    const events = run({ files: [${JSON.stringify(hanging)}] })
    running.watch(events, (line) => console.log('abandoned: ' + line))
    events.on('data', () => {})
    setInterval(() => console.log(JSON.stringify(running.describe())), 50)`,
  )
  // A runner within a test would be told to report to it.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const child = stack.use(await startChild(process.execPath, [runner], { env: { ...env, DIE_AFTER_MS: '5000' } }))
  const line = await child.waitForLine((text) => text.includes('never ends'), 60_000)
  const names = JSON.parse(line) as string[]
  assert.ok(
    names.some((name) => /^hanging\.mjs:5 never ends \(\d+ s\)$/.test(name)),
    line,
  )
  assert.ok(!names.some((name) => name.includes('is over')), line)
  const abandoned = await child.waitForLine((text) => text.startsWith('abandoned: '), 60_000)
  assert.match(abandoned, /hanging\.mjs:\d+ (a group|never ends) \(\d+ s\)$/)
})
