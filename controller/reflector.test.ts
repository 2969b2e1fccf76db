import assert from 'node:assert/strict'
import { type ServerResponse } from 'node:http'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { KubeApi } from './api.ts'
import { Reflector, stripBulk, type ReflectorOptions } from './reflector.ts'
import { Store } from './store.ts'
import {
  buildConfigMap,
  configMaps,
  refuse,
  sendJson,
  startTestServer,
  type Answer,
  type ConfigMap,
} from './test-server.ts'

const event = (type: string, object: object) => `${JSON.stringify({ type, object })}\n`

/** Answers lists with the given objects, in turn, and watches with the given answers, in turn; the last for ever. */
function serve(lists: ConfigMap[][], watches: Answer[]): Answer {
  let [listed, watched] = [0, 0]
  return (request, response) => {
    if (request.url.searchParams.has('watch')) {
      const answer = watches[Math.min(watched++, watches.length - 1)]
      return answer?.(request, response)
    }
    const items = lists[Math.min(listed++, lists.length - 1)]
    return sendJson(response, 200, { metadata: { resourceVersion: String(listed * 100) }, items })
  }
}
const send =
  (...events: string[]): Answer =>
  (_, response) =>
    void response.write(events.join(''))
const quiet: Answer = (_, response) => response.flushHeaders()
const end: Answer = (_, response) => void response.end()
const hangUp: Answer = (_, response: ServerResponse) => void response.socket?.resetAndDestroy()

function transformBadly(): never {
  throw new Error('bad transform')
}

async function startReflector(answer: Answer, options: Partial<ReflectorOptions<ConfigMap>> = {}) {
  const server = await startTestServer(answer)
  const api = new KubeApi(server.config)
  const stop = new AbortController()
  const told: string[] = []
  const errors: Error[] = []
  let wake = Promise.withResolvers<void>()
  const tell = (list: unknown[], entry: unknown): void => {
    list.push(entry)
    wake.resolve()
    wake = Promise.withResolvers()
  }
  const reflector = new Reflector<ConfigMap>({
    api,
    resource: configMaps,
    handlers: {
      added: ({ metadata }) => tell(told, `+${metadata.name}`),
      updated: ({ metadata }, former) =>
        tell(told, `${metadata.name} ${former.metadata.resourceVersion}>${metadata.resourceVersion}`),
      deleted: ({ metadata }) => tell(told, `-${metadata.name}`),
    },
    onError: (error) => tell(errors, error),
    ...options,
  })
  const running = reflector.run(stop.signal)
  const requests = (kind: 'list' | 'watch') =>
    server.received.filter(({ url }) => url.searchParams.has('watch') === (kind === 'watch'))
  return {
    reflector,
    told,
    errors,
    requests,
    async until(holds: () => boolean) {
      while (!holds()) await wake.promise
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
      api[Symbol.dispose]()
      await server.noneOpen()
      await server[Symbol.asyncDispose]()
    },
  }
}

describe('a reflector', () => {
  test('watches on from the last event or bookmark', async () => {
    const bookmark = event('BOOKMARK', { metadata: { resourceVersion: '120' } })
    const first: Answer = (_, response) => void response.end(event('ADDED', buildConfigMap('b', '110')) + bookmark)
    await using watching = await startReflector(
      serve([[buildConfigMap('a', '5')]], [first, send(event('MODIFIED', buildConfigMap('b', '130'))), quiet]),
    )
    await watching.until(() => watching.told.length === 3)
    assert.deepEqual(watching.told, ['+a', '+b', 'b 110>130'])
    const versions = watching.requests('watch').map(({ url }) => url.searchParams.get('resourceVersion'))
    assert.deepEqual(versions, ['100', '120'])
    assert.deepEqual(watching.errors, [])
  })

  test('lists again after 410, and tells the difference only', async () => {
    const gone = event('ERROR', { code: 410, reason: 'Expired', message: 'too old' })
    const before = [
      buildConfigMap('same', '1'),
      buildConfigMap('changed', '2'),
      buildConfigMap('gone', '3'),
      buildConfigMap('reborn', '4'),
    ]
    const after = [
      buildConfigMap('same', '1'),
      buildConfigMap('changed', '9'),
      buildConfigMap('reborn', '8', 'other'),
      buildConfigMap('new', '7'),
    ]
    await using watching = await startReflector(serve([before, after], [send(gone), quiet]))
    await watching.until(() => watching.told.includes('-gone'))
    assert.deepEqual(watching.told.slice(4), ['changed 2>9', '-reborn', '+reborn', '+new', '-gone'])
    assert.equal(watching.errors.length, 1)
  })

  test('lists again after an event that cannot be read', async () => {
    await using watching = await startReflector(
      serve([[], [buildConfigMap('lost')]], [send('{"type":"ADDED","object":\n'), quiet]),
    )
    await watching.until(() => watching.told.length === 1)
    assert.deepEqual(watching.told, ['+lost'])
    assert.equal((watching.errors[0] as { code?: string }).code, 'PROTOCOL')
  })

  test('goes on after every kind of failure, and comes back in seconds', async () => {
    const failing = [hangUp, refuse(500), refuse(503), refuse(403), refuse(401), refuse(400)]
    await using watching = await startReflector(serve([[]], [...failing, send(event('ADDED', buildConfigMap('late')))]))
    await watching.until(() => watching.told.length === 1)
    assert.equal(watching.errors.length, failing.length)
    assert.equal(watching.reflector.lastError, undefined)
    assert.equal(watching.requests('list').length, 2, 'after five refusals the version itself is doubted')
  })

  test('does not turn watches that end at once into a busy loop', async () => {
    await using watching = await startReflector(serve([[]], [end]))
    await watching.reflector.waitForSync(60_000)
    const started = performance.now()
    while (watching.requests('watch').length < 4) await delay(20)
    const count = watching.requests('watch').length
    const seconds = (performance.now() - started) / 1000
    assert.ok(count <= 6 * Math.max(1, seconds), `${count} watches in ${seconds} s`)
    assert.ok(seconds > 0.1, `${count} watches in ${seconds} s`)
  })

  test('keeps what a transform leaves, in a store with indexes', async () => {
    const bulky = buildConfigMap('a')
    bulky.metadata.managedFields = [{}]
    bulky.metadata.annotations = { 'kubectl.kubernetes.io/last-applied-configuration': '{}', kept: 'yes' }
    const store = new Store<ConfigMap>({ kept: ({ metadata }) => [metadata.annotations?.['kept'] ?? 'no'] })
    await using watching = await startReflector(serve([[bulky]], [quiet]), { store, transform: stripBulk })
    await watching.reflector.waitForSync(5_000)
    const [found] = watching.reflector.store.find('kept', 'yes')
    assert.deepEqual(found?.metadata, { ...buildConfigMap('a').metadata, annotations: { kept: 'yes' } })
  })

  test('stores and tells an object whose transform fails, and reports the failure', async () => {
    await using watching = await startReflector(serve([[buildConfigMap('a')]], [quiet]), { transform: transformBadly })
    await watching.until(() => watching.told.length === 1)
    assert.match(watching.errors[0]?.message ?? '', /configmaps failed for ns\/a: bad transform/)
  })

  test('outlives an onError that throws', async () => {
    let failures = 0
    const onError = (): never => {
      failures += 1
      throw new Error('in onError')
    }
    await using watching = await startReflector(serve([[]], [refuse(500), send(event('ADDED', buildConfigMap('a')))]), {
      onError,
    })
    await watching.until(() => watching.told.length === 1)
    assert.equal(failures, 1)
  })

  test('says why it has not synced', async () => {
    await using watching = await startReflector(refuse(403))
    const message = 'configmaps could not be listed within 500 ms: GET /api/v1/configmaps: 403 refused'
    await assert.rejects(watching.reflector.waitForSync(500), { code: 'NOT_SYNCED', message, retryable: true })
    const stop = AbortSignal.abort()
    await assert.rejects(watching.reflector.waitForSync(60_000, stop), { name: 'AbortError' })
    assert.ok(!watching.reflector.hasSynced)
  })
})
