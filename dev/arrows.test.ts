import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { describe, it } from 'node:test'
import { findViolations, parseSource, readImportGraph, type SourceFile } from './import-graph.ts'

/** A made-up repository: its files' texts by path. */
function check(files: Record<string, string>): string[] {
  const graph = new Map<string, SourceFile>()
  for (const [path, text] of Object.entries(files)) graph.set(path, parseSource(path, text))
  return findViolations(graph)
}

describe('imports', () => {
  it('follow the arrows of the house, without cycles', () => {
    const graph = readImportGraph(fileURLToPath(new URL('..', import.meta.url)))
    assert.ok(graph.size > 10, 'the repository was read')
    assert.deepEqual(findViolations(graph), [])
  })
})

describe('the check of imports', () => {
  it('accepts imports along the arrows', () => {
    const violations = check({
      'protocol/frames.ts': '',
      'session/keys.ts': `import { frames } from '../protocol/frames.ts'`,
      'gateway/main.ts': `import { key } from '../session/keys.ts'\nconst { env } = process`,
      'gateway/login.test.ts': `import { startRedis } from '../test/kit/servers/redis-server.ts'`,
      'controller/pods.ts': `import { CoreV1Api } from '@kubernetes/client-node'`,
    })
    assert.deepEqual(violations, [])
  })

  it('reports an import against the arrows, whatever its form', () => {
    for (const text of [
      `import { a } from '../gateway/a.ts'`,
      `import type {\n  A,\n  B,\n} from '../gateway/a.ts'`,
      `import '../gateway/a.ts'`,
      `export * from '../gateway/a.ts'`,
      `const { a } = await import('../gateway/a.ts')`,
    ]) {
      assert.deepEqual(check({ 'operator/b.ts': text }).length, 1, text)
    }
    assert.equal(check({ 'gateway/a.ts': `import { b } from '../operator/b.ts'` }).length, 1)
    assert.equal(check({ 'protocol/a.ts': `import { b } from '../session/b.ts'` }).length, 1)
    assert.equal(check({ 'e2e/a.ts': `import { b } from '../gateway/b.ts'` }).length, 1)
    assert.equal(
      check({ 'gateway/a.ts': `import { startRedis } from '../test/kit/servers/redis-server.ts'` }).length,
      1,
    )
  })

  it('reports an import against the arrows of a folder’s rooms', () => {
    const ok = [
      `import { a } from './b.ts'`,
      `import { a } from '../net/a.ts'`,
      `import { a } from '../errors.ts'`,
      `import { a } from '../../protocol/a.ts'`,
    ]
    for (const text of ok) assert.deepEqual(check({ 'gateway/bus/a.ts': text.replace('net', 'memory') }), [], text)
    assert.deepEqual(check({ 'gateway/gateway.ts': `import { a } from './net/a.ts'` }), [])
    assert.deepEqual(check({ 'gateway/bus/a.test.ts': `import { a } from '../net/a.ts'` }), [])
    assert.deepEqual(check({ 'gateway/bus/a.ts': `import { a } from '../net/a.ts'` }), [
      'gateway/bus/a.ts imports gateway/net/a.ts: bus may import only memory, secrets',
    ])
    assert.equal(check({ 'gateway/bus/a.ts': `import { a } from '../gateway.ts'` }).length, 1)
    assert.equal(check({ 'gateway/attic/a.ts': `import { a } from '../net/a.ts'` }).length, 1)
  })

  it('reports Kubernetes outside the controller runtime, the environment outside a main.ts, and an imported test', () => {
    assert.equal(check({ 'operator/a.ts': `import { CoreV1Api } from '@kubernetes/client-node'` }).length, 1)
    assert.equal(check({ 'gateway/a.ts': `const url = process.env['URL']` }).length, 1)
    assert.equal(check({ 'gateway/a.ts': `const { env } = process` }).length, 1)
    assert.equal(check({ 'gateway/a.ts': `import { helper } from './b.test.ts'` }).length, 1)
    assert.equal(check({ 'gateway/a.ts': `import { helper } from './test-kit.ts'` }).length, 1)
  })

  it('reports what a browser has not, with the way to it', () => {
    const [violation, ...rest] = check({
      'client/browser.ts': `export { dial } from './dial.ts'`,
      'client/dial.ts': `import { connect } from 'node:net'`,
    })
    assert.match(violation ?? '', /client\/dial\.ts → node:net/)
    assert.deepEqual(rest, [])
  })

  it('reports a cycle once, naming its files', () => {
    const violations = check({
      'gateway/a.ts': `import { b } from './b.ts'`,
      'gateway/b.ts': `import { c } from './c.ts'`,
      'gateway/c.ts': `import { a } from './a.ts'`,
      'gateway/d.ts': `import { a } from './a.ts'`,
    })
    assert.deepEqual(violations, ['import cycle: gateway/a.ts → gateway/b.ts → gateway/c.ts → gateway/a.ts'])
  })
})
