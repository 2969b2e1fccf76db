import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, mock, test } from 'node:test'
import { KubeConfig } from '@kubernetes/client-node'
import { KubeApi } from './api.ts'
import { ApiError } from './errors.ts'
import { buildConfigMap, configMaps, refuse, sendJson, startTestServer, type Answer } from './test-server.ts'

const one = { namespace: 'ns', name: 'one' }
const ok: Answer = (_, response) => sendJson(response, 200, buildConfigMap('one'))

/** Answers with each in turn, then with the last for ever. */
function inTurn(...answers: Answer[]): Answer {
  let next = 0
  return (request, response) => answers[Math.min(next++, answers.length - 1)]?.(request, response)
}
const reset: Answer = (_, response) => void response.socket?.resetAndDestroy()

/** A page of a list; an empty `next` makes it the last. */
const page =
  (next: string): Answer =>
  (_, response) =>
    sendJson(response, 200, {
      items: [{ metadata: { name: `after-${next}` } }],
      metadata: { continue: next, resourceVersion: '7' },
    })

describe('connections', () => {
  test('are kept and shared, and none is left after disposal', async () => {
    await using server = await startTestServer(ok)
    const api = new KubeApi(server.config, { qps: 1_000, burst: 1_000 })
    for (let i = 0; i < 100; i += 1) await api.get(configMaps, one)
    assert.equal(server.connections, 1)
    assert.equal(api.connectionsOpened, 1)
    api[Symbol.dispose]()
    await server.noneOpen()
  })

  test('are bounded', async () => {
    await using server = await startTestServer(ok)
    using api = new KubeApi(server.config, { maxConnections: 3 })
    await Promise.all(Array.from({ length: 30 }, () => api.get(configMaps, one)))
    assert.equal(server.connections, 3)
  })
})

describe('requests', () => {
  test('an apply is a server-side apply, of JSON, with its manager and kind', async () => {
    await using server = await startTestServer(ok)
    using api = new KubeApi(server.config)
    await api.apply(configMaps, { metadata: one, data: { a: '1' } }, { fieldManager: 'im' })
    await api.applyStatus(configMaps, { metadata: one }, { fieldManager: 'im', force: false })
    const [apply, status] = server.received
    assert.equal(apply?.method, 'PATCH')
    assert.equal(apply.headers['content-type'], 'application/apply-patch+yaml')
    assert.equal(
      `${apply.url.pathname}${apply.url.search}`,
      '/api/v1/namespaces/ns/configmaps/one?fieldManager=im&force=true',
    )
    const body = { metadata: one, data: { a: '1' }, apiVersion: 'v1', kind: 'ConfigMap' }
    assert.deepEqual(JSON.parse(apply.body), body)
    assert.equal(
      `${status?.url.pathname}${status?.url.search}`,
      '/api/v1/namespaces/ns/configmaps/one/status?fieldManager=im&force=false',
    )
  })

  test('a delete carries its preconditions in a body that is framed', async () => {
    await using server = await startTestServer(ok)
    using api = new KubeApi(server.config)
    await api.delete(configMaps, one, { uid: 'u', propagationPolicy: 'Foreground', gracePeriodSeconds: 3 })
    await api.get(configMaps, one)
    assert.deepEqual(JSON.parse(server.received[0]?.body ?? ''), {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      preconditions: { uid: 'u' },
      propagationPolicy: 'Foreground',
      gracePeriodSeconds: 3,
    })
    assert.equal(server.connections, 1, 'the next request was understood')
  })

  test('a name that would address something else is not sent', async () => {
    await using server = await startTestServer(ok)
    using api = new KubeApi(server.config)
    for (const name of ['', '.', '..'])
      await assert.rejects(api.delete(configMaps, { namespace: 'ns', name }), TypeError)
    await assert.rejects(api.get(configMaps, { name: 'one' }), TypeError)
    assert.equal(server.received.length, 0)
  })

  test('keep to the rate', async () => {
    await using server = await startTestServer(ok)
    using api = new KubeApi(server.config, { qps: 50, burst: 5 })
    const started = performance.now()
    await Promise.all(Array.from({ length: 15 }, () => api.get(configMaps, one)))
    const took = performance.now() - started
    assert.ok(took >= 190, `10 requests beyond the burst took ${took} ms at 50 per second`)
    await assert.rejects(
      Promise.all(Array.from({ length: 50 }, () => api.get(configMaps, one, { timeoutMs: 100 }))),
      { code: 'TIMEOUT' },
      'a wait for the rate has a deadline too',
    )
  })

  test('a list that its server forgot between two pages is read again', async () => {
    await using server = await startTestServer(inTurn(page('x'), refuse(410), page('y'), page('')))
    using api = new KubeApi(server.config)
    const { items, resourceVersion } = await api.list(configMaps)
    assert.deepEqual([items.map(({ metadata }) => metadata.name), resourceVersion], [['after-y', 'after-'], '7'])
    assert.equal(items[0]?.kind, 'ConfigMap')
  })
})

describe('a failed request', () => {
  test('is tried again when it changes nothing, or the same twice', async () => {
    for (const failing of [refuse(500), refuse(503), reset]) {
      await using server = await startTestServer(inTurn(failing, failing, ok))
      using api = new KubeApi(server.config)
      await api.get(configMaps, one)
      assert.equal(server.received.length, 3)
      server.received.length = 0
    }
    await using server = await startTestServer(inTurn(reset, ok, reset, ok))
    using api = new KubeApi(server.config)
    await api.apply(configMaps, { metadata: one }, { fieldManager: 'im' })
    await api.delete(configMaps, one, { uid: 'u' })
    assert.equal(server.received.length, 4)
  })

  test('is not tried again when it could do something twice', async () => {
    await using server = await startTestServer(reset)
    using api = new KubeApi(server.config)
    await assert.rejects(api.create(configMaps, { metadata: one }), { code: 'NETWORK', retryable: true, sent: true })
    await assert.rejects(api.update(configMaps, { metadata: one }), { code: 'NETWORK' })
    await assert.rejects(api.delete(configMaps, one), { code: 'NETWORK' })
    assert.equal(server.received.length, 3)
  })

  test('is tried again when the server did not take it, as late as it asks', async () => {
    await using server = await startTestServer(inTurn(refuse(429, { 'Retry-After': '1' }), ok))
    using api = new KubeApi(server.config)
    const started = performance.now()
    await api.create(configMaps, { metadata: one })
    assert.ok(performance.now() - started >= 990)
  })

  test('says what the server asked for when that is later than its deadline', async () => {
    await using server = await startTestServer(refuse(429, { 'Retry-After': '60' }))
    using api = new KubeApi(server.config)
    await assert.rejects(api.get(configMaps, one), { code: 'TOO_MANY_REQUESTS', retryAfterMs: 60_000, retryable: true })
    assert.equal(server.received.length, 1)
  })

  test('is not tried again for ever, nor when told not to', async () => {
    await using server = await startTestServer(refuse(500))
    using api = new KubeApi(server.config, { maxRetries: 2 })
    await assert.rejects(api.get(configMaps, one), { code: 'SERVER_ERROR', status: 500, reason: 'Test' })
    assert.equal(server.received.length, 3)
    await assert.rejects(api.get(configMaps, one, { retry: false }), ApiError)
    assert.equal(server.received.length, 4)
  })

  test('that nobody listens to fails as NETWORK, unsent', async () => {
    const server = await startTestServer(ok)
    await server[Symbol.asyncDispose]()
    using api = new KubeApi(server.config, { maxRetries: 1 })
    await assert.rejects(api.create(configMaps, { metadata: one }), { code: 'NETWORK', sent: false, status: 0 })
  })

  test('that is answered by no JSON says so without quoting it', async () => {
    await using server = await startTestServer((_, response) => void response.end('{"password":hunter2'))
    using api = new KubeApi(server.config)
    await assert.rejects(api.get(configMaps, one), (error: Error) => {
      assert.equal((error as ApiError).code, 'PROTOCOL')
      assert.ok(!`${error.message}${String(error.cause)}`.includes('hunter2'))
      return true
    })
  })
})

describe('credentials', () => {
  test('a rotated token is read again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'runtime-'))
    const tokenFile = join(folder, 'token')
    try {
      await writeFile(tokenFile, 'first\n')
      await using server = await startTestServer(ok, { authProvider: { name: 'tokenFile', config: { tokenFile } } })
      using api = new KubeApi(server.config)
      await api.get(configMaps, one)
      await writeFile(tokenFile, 'second')
      // Like client-go, a file is believed for a minute; the API server accepts both tokens for longer.
      mock.timers.enable({ apis: ['Date'], now: Date.now() + 61_000 })
      await api.get(configMaps, one)
      assert.deepEqual(
        server.received.map(({ headers }) => headers.authorization),
        ['Bearer first', 'Bearer second'],
      )
      await rm(tokenFile)
      mock.timers.tick(61_000)
      await assert.rejects(api.get(configMaps, one), { code: 'UNAUTHORIZED', sent: false, status: 0 })
    } finally {
      mock.timers.reset()
      await rm(folder, { recursive: true })
    }
  })

  test('a configuration that cannot work is refused at once', () => {
    assert.throws(() => new KubeApi(new KubeConfig()), { code: 'CONFIG_INVALID', retryable: false })
    const config = new KubeConfig()
    config.loadFromClusterAndUser(
      { name: 'c', server: 'https://h', skipTLSVerify: false, proxyUrl: 'http://p' },
      { name: 'u' },
    )
    assert.throws(() => new KubeApi(config), { code: 'CONFIG_INVALID', message: /proxy-url/ })
  })
})
