import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { KubeApi } from './api.ts'
import { buildConfigMap, configMaps, refuse, startTestServer, type Answer } from './test-server.ts'

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}

const watch = (api: KubeApi, signal = new AbortController().signal, timeoutSeconds = 30) =>
  collect(api.watch(configMaps, { namespace: 'ns', resourceVersion: '5', timeoutSeconds }, signal))
const lines =
  (...texts: string[]): Answer =>
  (_, response) => {
    response.write(texts[0] ?? '')
    for (const text of texts.slice(1)) setImmediate(() => response.write(text))
    setTimeout(() => response.end(), 20)
  }
const event = (type: string, object: object) => `${JSON.stringify({ type, object })}\n`

describe('a watch', () => {
  test('asks for bookmarks and an end, and reads events however they are cut', async () => {
    const text = event('ADDED', buildConfigMap('ü', '6')) + event('BOOKMARK', { metadata: { resourceVersion: '9' } })
    await using server = await startTestServer(lines(text.slice(0, 30), text.slice(30, 200), text.slice(200)))
    using api = new KubeApi(server.config)
    const events = await watch(api)
    assert.deepEqual(
      events.map(({ type, object }) => [type, object.metadata.resourceVersion]),
      [
        ['ADDED', '6'],
        ['BOOKMARK', '9'],
      ],
    )
    const query = Object.fromEntries(server.received[0]?.url.searchParams ?? [])
    assert.deepEqual(query, { watch: 'true', allowWatchBookmarks: 'true', resourceVersion: '5', timeoutSeconds: '30' })
  })

  test('throws what the server reports, what cannot be read, and what was cut off', async () => {
    const gone = event('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' })
    for (const [text, code] of [
      [gone, 'GONE'],
      ['{"type":\n', 'PROTOCOL'],
      ['{"type":"ODD"}\n', 'PROTOCOL'],
      ['{"type":"A', 'NETWORK'],
    ]) {
      await using server = await startTestServer(lines(text ?? ''))
      using api = new KubeApi(server.config)
      await assert.rejects(watch(api), { code }, text)
    }
    await using server = await startTestServer(refuse(410))
    using api = new KubeApi(server.config)
    await assert.rejects(watch(api), { code: 'GONE', status: 410 })
  })

  test('that is silent beyond its end, or before its headers, is given up', async () => {
    await using server = await startTestServer((request, response) => {
      if (!request.url.searchParams.has('labelSelector')) response.flushHeaders()
    })
    using api = new KubeApi(server.config, { attemptTimeoutMs: 200 })
    await assert.rejects(watch(api, undefined, 0), { code: 'TIMEOUT' })
    const options = { resourceVersion: '5', timeoutSeconds: 30, labelSelector: 'a=b' }
    const started = performance.now()
    await assert.rejects(collect(api.watch(configMaps, options, new AbortController().signal)), {
      code: 'TIMEOUT',
    })
    assert.ok(performance.now() - started < 20_000)
  })

  test('may be silent for long while it lasts', async () => {
    await using server = await startTestServer((_, response) => {
      response.flushHeaders()
      setTimeout(() => response.end(event('ADDED', buildConfigMap('late'))), 1_000)
    })
    using api = new KubeApi(server.config, { attemptTimeoutMs: 200, timeoutMs: 400 })
    assert.equal((await watch(api)).length, 1)
  })

  test('ends with its signal, and its connection with it', async () => {
    const closed = Promise.withResolvers<void>()
    await using server = await startTestServer((_, response) => {
      response.on('close', () => closed.resolve())
      response.flushHeaders()
    })
    using api = new KubeApi(server.config)
    const stop = new AbortController()
    const options = { resourceVersion: '5', timeoutSeconds: 30, opened: () => stop.abort() }
    await assert.rejects(collect(api.watch(configMaps, options, stop.signal)), { name: 'AbortError' })
    await closed.promise
  })
})
