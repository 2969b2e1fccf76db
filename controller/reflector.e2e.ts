// The reflector against a real API server that goes away, falls silent, forgets and fails.
import assert from 'node:assert/strict'
import { after, afterEach, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { KubeApi } from './api.ts'
import { RuntimeError } from './errors.ts'
import { Reflector, stripBulk, type ReflectorOptions } from './reflector.ts'
import {
  applyConfigMap,
  configMaps,
  createNamespace,
  openApi,
  readKubeConfig,
  restartApiServer,
  startFaultProxy,
  startTcpProxy,
  until,
  type ConfigMap,
} from './test-kit.ts'

const direct = openApi(readKubeConfig())
const { proxy, config } = await startTcpProxy()
const proxied = openApi(config, { attemptTimeoutMs: 1_000 })
const namespace = await createNamespace(direct)
after(async () => {
  await namespace[Symbol.asyncDispose]()
  direct[Symbol.dispose]()
  proxied[Symbol.dispose]()
  await proxy[Symbol.asyncDispose]()
})

/** A running reflector of the ConfigMaps whose label `set` is as given, with what it told. */
function startReflector(options: Partial<ReflectorOptions<ConfigMap>> = {}) {
  const stop = new AbortController()
  const told: string[] = []
  const errors: Error[] = []
  const reflector = new Reflector<ConfigMap>({
    api: proxied,
    resource: configMaps,
    namespace: namespace.name,
    transform: stripBulk,
    handlers: {
      added: ({ metadata, data }) => told.push(`+${metadata.name}=${data?.['value']}`),
      updated: ({ metadata, data }) => told.push(`~${metadata.name}=${data?.['value']}`),
      deleted: ({ metadata }) => told.push(`-${metadata.name}`),
    },
    onError: (error) => errors.push(error),
    ...options,
  })
  const running = reflector.run(stop.signal)
  const valueOf = (name: string) => reflector.store.get({ namespace: namespace.name, name })?.data?.['value']
  const dispose = async () => {
    stop.abort()
    await running
  }
  return { reflector, told, errors, valueOf, [Symbol.asyncDispose]: dispose }
}

const set = (name: string, value: string) => applyConfigMap(direct, namespace.name, name, value)
const remove = (name: string) => direct.delete(configMaps, { namespace: namespace.name, name })

function versionsOf(objects: ConfigMap[]): string {
  const versions = objects.map(({ metadata }) => `${metadata.uid}/${metadata.resourceVersion}`)
  return versions.toSorted().join()
}

/** The store and the server hold the same versions of the same objects. */
async function equals(reflector: Reflector<ConfigMap>): Promise<boolean> {
  const { items } = await direct.list(configMaps, { namespace: namespace.name })
  return versionsOf(items) === versionsOf(reflector.store.list())
}

describe('a reflector', () => {
  afterEach(() => proxy.pass())

  test('lists, then follows every change, and keeps objects small', async () => {
    await set('first', 'one')
    await using watching = startReflector()
    await watching.reflector.waitForSync(10_000)
    assert.equal(watching.valueOf('first'), 'one')
    await set('first', 'two')
    await set('second', 'one')
    await remove('second')
    await until('the delete was told', () => watching.told.includes('-second'), 10_000)
    const own = watching.told.filter((line) => !line.includes('kube-root'))
    assert.deepEqual(own, ['+first=one', '~first=two', '+second=one', '-second'])
    assert.equal(
      watching.reflector.store.get({ namespace: namespace.name, name: 'first' })?.metadata.managedFields,
      undefined,
    )
    assert.deepEqual(watching.errors, [])
  })

  test('goes on over the end of each watch without listing again', async () => {
    const calls: string[] = []
    class CountingApi extends KubeApi {
      override list: KubeApi['list'] = (...args) => {
        calls.push('list')
        return super.list(...args)
      }
      override watch: KubeApi['watch'] = (...args) => {
        calls.push('watch')
        return super.watch(...args)
      }
    }
    using counting = new CountingApi(config)
    await using watching = startReflector({ api: counting, watchSeconds: 1 })
    await until('four watches', () => calls.filter((name) => name === 'watch').length >= 4, 20_000)
    await set('after-watches', 'seen')
    await until('the change was seen', () => watching.valueOf('after-watches') === 'seen', 5_000)
    assert.equal(calls.filter((name) => name === 'list').length, 1)
    assert.deepEqual(watching.errors, [])
  })

  test('tells its handlers failures and goes on', async () => {
    await using watching = startReflector({
      handlers: {
        added: ({ metadata }) => {
          if (metadata.name === 'bad') throw new Error('thrown')
        },
        updated: ({ metadata }) =>
          (metadata.name === 'bad' ? Promise.reject(new Error('rejected')) : undefined) as never,
      },
    })
    await watching.reflector.waitForSync(10_000)
    await set('bad', 'one')
    await set('bad', 'two')
    await set('good', 'one')
    await until('the next object', () => watching.valueOf('good') === 'one', 10_000)
    await until('both failures', () => watching.errors.length === 2, 10_000)
    assert.ok(watching.errors.every((error) => error instanceof RuntimeError && error.code === 'HANDLER_FAILED'))
    assert.match(watching.errors.map(({ message }) => message).join(), /\/bad: thrown.*\/bad: rejected/)
  })

  test('catches up after its connections were cut, and while the server could not be reached', async () => {
    await using watching = startReflector()
    await watching.reflector.waitForSync(10_000)
    await set('cut', 'before')
    await until('before', () => watching.valueOf('cut') === 'before', 10_000)
    proxy.refuse()
    proxy.cut()
    await set('cut', 'during')
    await remove('first')
    await until('the failure is told', () => watching.reflector.lastError !== undefined, 10_000)
    proxy.pass()
    await until('caught up', () => equals(watching.reflector), 10_000)
    await until('no failure is left', () => watching.reflector.lastError === undefined, 10_000)
    assert.ok(watching.told.includes('-first'))
  })

  test('notices a watch that is silent because its connection is dead', async () => {
    await using watching = startReflector({ watchSeconds: 2 })
    await watching.reflector.waitForSync(10_000)
    await set('silent', 'before')
    await until('before', () => watching.valueOf('silent') === 'before', 10_000)
    proxy.blackhole()
    await set('silent', 'during')
    await until('the dead connection is noticed', () => watching.errors.length > 0, 15_000)
    assert.match(watching.errors[0]?.message ?? '', /^WATCH .* no answer in time/)
    proxy.pass()
    await until('caught up', () => watching.valueOf('silent') === 'during', 15_000)
  })

  test('follows through a slow connection', async () => {
    proxy.delay(100)
    await using watching = startReflector()
    await watching.reflector.waitForSync(20_000)
    await set('slow', 'one')
    await until('seen', () => watching.valueOf('slow') === 'one', 10_000)
  })

  test('lists again when its version is too old for the server (410), and tells what it missed', async () => {
    await using watching = startReflector({ watchSeconds: 2 })
    await set('old', 'one')
    await set('reborn', 'one')
    await until('seen', () => watching.valueOf('old') === 'one' && watching.valueOf('reborn') === 'one', 10_000)
    proxy.refuse()
    proxy.cut()
    await remove('old')
    await remove('reborn')
    await set('reborn', 'two')
    // The watch cache of a new server begins with what is there now: earlier versions are gone.
    await restartApiServer(direct)
    watching.told.length = 0
    proxy.pass()
    await until('caught up', () => equals(watching.reflector), 30_000)
    assert.ok(watching.told.includes('-old'), watching.told.join())
    assert.deepEqual(
      watching.told.filter((line) => line.includes('reborn')),
      ['-reborn', '+reborn=two'],
    )
    const codes = watching.errors.map((error) => (error as { code?: string }).code)
    assert.ok(codes.includes('GONE'), codes.join())
  })

  test('outlives a restart of the API server', async (t) => {
    await using watching = startReflector()
    await watching.reflector.waitForSync(10_000)
    await restartApiServer(direct)
    await set('after-restart', 'one')
    const started = performance.now()
    await until('the change was seen', () => watching.valueOf('after-restart') === 'one', 30_000)
    t.diagnostic(`seen ${Math.round(performance.now() - started)} ms after the server was back`)
    assert.ok(await equals(watching.reflector))
  })

  test('ends in the right state when a quarter of the requests fail', async (t) => {
    const faulty = await startFaultProxy(20_260_101)
    await using faults = faulty.proxy
    using api = openApi(faulty.config)
    await using watching = startReflector({ api, watchSeconds: 1 })
    faults.share = 0.25
    const expected = new Map<string, string>()
    for (let i = 0; i < 60; i += 1) {
      const name = `chaos-${i % 12}`
      expected.set(name, String(i))
      // Through the faults as well: an apply that was done and not answered is done again.
      await applyConfigMap(api, namespace.name, name, String(i))
      if (i % 12 === 11) await delay(400)
    }
    await until('the store is right', () => equals(watching.reflector), 30_000)
    for (const [name, value] of expected) assert.equal(watching.valueOf(name), value)
    t.diagnostic(`${faults.requests} requests, failed: ${JSON.stringify(faults.injected)}`)
    assert.ok(Object.keys(faults.injected).length >= 5, 'every kind of fault took part')
  })

  test('that never synced says why, and ends when told', async () => {
    proxy.refuse()
    await using watching = startReflector()
    await assert.rejects(watching.reflector.waitForSync(1_500), (error) => {
      assert.ok(error instanceof RuntimeError && error.code === 'NOT_SYNCED')
      assert.match(error.message, /configmaps could not be listed within 1500 ms: GET /)
      return true
    })
  })

  test('needs little memory for 200 objects', async (t) => {
    const filler = 'x'.repeat(1_024)
    for (let i = 0; i < 200; i += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, j) => set(`many-${i + j}`, filler)))
    }
    // The first round warms up what is loaded and compiled once.
    const sizes: number[] = []
    for (const transform of [stripBulk, stripBulk, (object: ConfigMap) => object]) {
      globalThis.gc?.()
      const before = process.memoryUsage().heapUsed
      await using watching = startReflector({ transform })
      await watching.reflector.waitForSync(10_000)
      assert.ok(watching.reflector.store.size >= 200)
      await delay(200)
      globalThis.gc?.()
      sizes.push(Math.round((process.memoryUsage().heapUsed - before) / 1_024))
    }
    const [, small = 0, whole] = sizes
    if (globalThis.gc !== undefined) assert.ok(small < 2_048, `${small} KiB`)
    t.diagnostic(`200 objects of 1 KiB: heap +${small} KiB, untransformed +${whole} KiB`)
  })
})
