import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseOptions } from './options.ts'
import { buildOptions } from './test-kit.ts'

const { backoffBaseMs: _base, backoffCapMs: _cap, ...minimal } = buildOptions('tcp://127.0.0.1:1')
const options = parseOptions(minimal, ['tcp'])
const seconds = (ms: number) => `${ms / 1000} s`
const mebibytes = (bytes: number) => `${bytes / 2 ** 20} MiB`

test('the guide states the defaults', () => {
  const guide = readFileSync(new URL('../docs/client.md', import.meta.url), 'utf8').replaceAll(/\s+/g, ' ')
  for (const phrase of [
    `after ${options.ackDelayMs} ms or ${options.ackEvery} messages`,
    `Until its deadline (${seconds(options.sendTimeoutMs)}, at most 5 min)`,
    `${options.maxInFlight} sends are on their way at once`,
    `wait, up to ${options.maxQueuedSends} and ${mebibytes(options.maxQueuedBytes)}`,
    `after up to ${options.backoffBaseMs} ms, then up to twice as long each time, at most ${seconds(options.backoffCapMs)}`,
    `nothing comes for ${seconds(options.heartbeatTimeoutMs)} after one`,
  ]) {
    assert.ok(guide.includes(phrase), phrase)
  }
})

test('the comment of each option states its default', () => {
  const source = readFileSync(new URL('options.ts', import.meta.url), 'utf8')
  const [declared = ''] = /interface ClientOptions \{[^]*?^\}/m.exec(source) ?? []
  const numbers = Object.entries(options).flatMap(([name, value]) =>
    typeof value === 'number' && name !== 'clientType' ? [{ name, value }] : [],
  )
  assert.equal(numbers.length, 14)
  for (const { name, value } of numbers) {
    const before = declared.slice(0, declared.indexOf(`readonly ${name}?`))
    // Options that belong together share a comment.
    const comment = before.slice(before.lastIndexOf('/**')).replaceAll(/(\d) (\d{3})/g, '$1$2')
    const forms = [String(value), mebibytes(value)]
    assert.ok(
      forms.some((form) => comment.includes(form)),
      `${name}: ${forms.join(' or ')}`,
    )
  }
})
