// The API client against a real API server.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { isApiError } from './errors.ts'
import { applyConfigMap, configMaps, createNamespace, openApi, readKubeConfig, startTcpProxy } from './test-kit.ts'

const { proxy, config } = await startTcpProxy()
const api = openApi(config)
const namespace = await createNamespace(api)
after(async () => {
  await namespace[Symbol.asyncDispose]()
  api[Symbol.dispose]()
  await proxy[Symbol.asyncDispose]()
})
const named = (name: string) => ({ namespace: namespace.name, name })

test('500 requests, ten at once, share ten connections at most', async (t) => {
  const before = proxy.accepted
  const heapBefore = process.memoryUsage().heapUsed
  for (let round = 0; round < 50; round += 1) {
    await Promise.all(Array.from({ length: 10 }, () => api.list(configMaps, { namespace: namespace.name })))
  }
  const opened = proxy.accepted - before
  assert.ok(opened <= 10, `${opened} connections for 500 requests`)
  assert.ok(proxy.open <= 11, `${proxy.open} connections left open`)
  assert.equal(api.connectionsOpened, proxy.accepted)
  t.diagnostic(
    `500 requests: ${opened} connections, heap +${((process.memoryUsage().heapUsed - heapBefore) / 2 ** 20).toFixed(1)} MiB`,
  )
})

test('one request after another uses one connection', async () => {
  using single = openApi(config)
  for (let round = 0; round < 20; round += 1) await single.get(configMaps, named('kube-root-ca.crt'))
  assert.equal(single.connectionsOpened, 1)
})

test('server-side apply owns its fields, creates, changes and removes, and leaves those of others', async () => {
  const created = await applyConfigMap(api, namespace.name, 'applied', 'one')
  assert.deepEqual(created.data, { value: 'one' })
  const [owner] = created.metadata.managedFields as { manager: string; operation: string }[]
  assert.deepEqual([owner?.manager, owner?.operation], ['runtime-test', 'Apply'])
  await api.patch(configMaps, named('applied'), { data: { other: 'kept' } })
  const changed = await applyConfigMap(api, namespace.name, 'applied', 'two')
  assert.deepEqual(changed.data, { value: 'two', other: 'kept' })
  const emptied = await api.apply(configMaps, { metadata: named('applied') }, { fieldManager: 'runtime-test' })
  assert.deepEqual(emptied.data, { other: 'kept' })
})

test('an apply that changes nothing writes nothing', async () => {
  const first = await applyConfigMap(api, namespace.name, 'same', 'one')
  const second = await applyConfigMap(api, namespace.name, 'same', 'one')
  assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion)
})

test('without force, a field of another manager is a conflict that says so', async () => {
  await applyConfigMap(api, namespace.name, 'contested', 'mine')
  const theirs = { metadata: named('contested'), data: { value: 'theirs' } }
  await assert.rejects(api.apply(configMaps, theirs, { fieldManager: 'other', force: false }), (error) => {
    assert.ok(isApiError(error, 'CONFLICT') && error.status === 409 && error.retryable)
    return true
  })
  assert.equal((await api.apply(configMaps, theirs, { fieldManager: 'other' })).data?.['value'], 'theirs')
})

test('the status alone is applied, and leaves the rest', async () => {
  const deployments = { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', namespaced: true }
  const labels = { app: 'none' }
  const template = { metadata: { labels }, spec: { containers: [{ name: 'none', image: 'none' }] } }
  const spec = { replicas: 0, paused: true, selector: { matchLabels: labels }, template }
  const deployment = { metadata: named('status'), spec }
  await api.apply(deployments, deployment, { fieldManager: 'runtime-test' })
  const status = { conditions: [{ type: 'Tested', status: 'True', reason: 'Test', message: 'm' }] }
  const applied = await api.applyStatus(
    deployments,
    { metadata: named('status'), status, spec: { replicas: 7 } } as never,
    {
      fieldManager: 'runtime-status',
    },
  )
  const { spec: kept, status: set } = applied as unknown as { spec: { replicas: number }; status: typeof status }
  assert.equal(kept.replicas, 0)
  assert.ok(set.conditions.some(({ type }) => type === 'Tested'))
})

test('refusals are told apart', async () => {
  await assert.rejects(api.get(configMaps, named('missing')), { code: 'NOT_FOUND', status: 404, retryable: false })
  await applyConfigMap(api, namespace.name, 'twice', 'one')
  const again = { metadata: named('twice') }
  await assert.rejects(api.create(configMaps, again), { code: 'ALREADY_EXISTS', status: 409, retryable: false })
  const stale = await api.get(configMaps, named('twice'))
  await applyConfigMap(api, namespace.name, 'twice', 'two')
  await assert.rejects(api.update(configMaps, stale), { code: 'CONFLICT', reason: 'Conflict', retryable: true })
  const invalid = { metadata: named('twice'), data: { 'a/b': 'x' } }
  await assert.rejects(api.update(configMaps, invalid), { code: 'INVALID', status: 422, retryable: false })
})

test('a delete with a UID spares the successor of the same name', async () => {
  const first = await applyConfigMap(api, namespace.name, 'reborn', 'one')
  const uid = first.metadata.uid ?? ''
  await api.delete(configMaps, named('reborn'), { uid, propagationPolicy: 'Background' })
  const second = await applyConfigMap(api, namespace.name, 'reborn', 'two')
  await assert.rejects(api.delete(configMaps, named('reborn'), { uid }), { code: 'CONFLICT' })
  assert.equal((await api.get(configMaps, named('reborn'))).metadata.uid, second.metadata.uid)
})

test('a list is read page by page and names the kind of its items', async () => {
  for (let i = 0; i < 25; i += 1) await applyConfigMap(api, namespace.name, `page-${i}`, 'x')
  const whole = await api.list(configMaps, { namespace: namespace.name, pageSize: 1_000 })
  const paged = await api.list(configMaps, { namespace: namespace.name, pageSize: 4 })
  assert.deepEqual(
    paged.items.map((item) => item.metadata.uid),
    whole.items.map((item) => item.metadata.uid),
  )
  assert.ok(paged.items.every((item) => item.kind === 'ConfigMap' && item.apiVersion === 'v1'))
  const found = await api.list(configMaps, { namespace: namespace.name, fieldSelector: 'metadata.name=page-7' })
  assert.deepEqual(
    found.items.map((item) => item.metadata.name),
    ['page-7'],
  )
})

test('a dead connection of the pool costs one try, not the call', async () => {
  using quick = openApi(config, { attemptTimeoutMs: 500, timeoutMs: 5_000 })
  await quick.get(configMaps, named('kube-root-ca.crt'))
  proxy.cut()
  await quick.get(configMaps, named('kube-root-ca.crt'))
  proxy.blackhole()
  const started = performance.now()
  const reading = quick.get(configMaps, named('kube-root-ca.crt'))
  setTimeout(() => proxy.pass(), 700)
  await reading
  assert.ok(performance.now() - started < 5_000)
})

test('a server that never answers ends the call at its deadline, or at the abort of its signal', async () => {
  using quick = openApi(config, { attemptTimeoutMs: 200, timeoutMs: 700 })
  proxy.blackhole()
  try {
    await assert.rejects(quick.get(configMaps, named('x')), { code: 'TIMEOUT', status: 0, retryable: true })
    const stop = new AbortController()
    const reading = quick.get(configMaps, named('x'), { signal: stop.signal, timeoutMs: 60_000 })
    setTimeout(() => stop.abort(), 50)
    await assert.rejects(reading, { name: 'AbortError' })
  } finally {
    proxy.pass()
  }
})

test('a user without rights is told FORBIDDEN, one with a wrong token UNAUTHORIZED', async () => {
  const kubeConfig = readKubeConfig()
  const cluster = kubeConfig.getCurrentCluster()
  assert.ok(cluster)
  const user = kubeConfig.getCurrentUser()
  kubeConfig.loadFromClusterAndUser(cluster, { ...user, name: 'other', impersonateUser: 'nobody' })
  using powerless = openApi(kubeConfig)
  await assert.rejects(powerless.list(configMaps), { code: 'FORBIDDEN', status: 403, retryable: false })
  kubeConfig.loadFromClusterAndUser(cluster, { name: 'wrong', token: 'not-a-token' })
  using unknown = openApi(kubeConfig)
  await assert.rejects(unknown.list(configMaps), (error) => {
    assert.ok(isApiError(error, 'UNAUTHORIZED') && !error.message.includes('not-a-token'))
    return true
  })
})
