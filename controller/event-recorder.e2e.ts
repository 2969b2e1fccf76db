// Events as people see them with kubectl: written in the background, counted, bounded.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { EventRecorder, events, type EventDraft, type EventRecorderOptions } from './event-recorder.ts'
import {
  applyConfigMap,
  createNamespace,
  openApi,
  readKubeConfig,
  startFaultProxy,
  startTcpProxy,
  until,
} from './test-kit.ts'

const direct = openApi(readKubeConfig())
const namespace = await createNamespace(direct)
after(async () => {
  await namespace[Symbol.asyncDispose]()
  direct[Symbol.dispose]()
})

const draft: EventDraft = { type: 'Normal', reason: 'Tested', action: 'Test', note: 'a note' }

function startRecorder(options: Partial<EventRecorderOptions> = {}) {
  const stop = new AbortController()
  const dropped: { draft: EventDraft; cause: Error | undefined }[] = []
  const recorder = new EventRecorder({
    api: direct,
    controller: 'imcluster.io/test',
    instance: 'test-0',
    qps: 100,
    burst: 100,
    seriesIntervalMs: 300,
    onDrop: (draft, cause) => dropped.push({ draft, cause }),
    ...options,
  })
  const running = recorder.run(stop.signal)
  const dispose = async () => {
    stop.abort()
    await running
  }
  return { recorder, dropped, stop: dispose, [Symbol.asyncDispose]: dispose }
}

const eventsOf = async (name: string) => {
  const fieldSelector = `regarding.name=${name}`
  return (await direct.list(events, { namespace: namespace.name, fieldSelector })).items
}

test('an event says what happened to which object', async () => {
  const object = await applyConfigMap(direct, namespace.name, 'one', 'x')
  await using recording = startRecorder()
  recording.recorder.record(object, { ...draft, type: 'Warning' })
  await until('the event', async () => (await eventsOf('one')).length === 1, 5_000)
  const [event] = await eventsOf('one')
  const { uid, resourceVersion } = object.metadata
  const regarding = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace: namespace.name,
    name: 'one',
    uid,
    resourceVersion,
  }
  assert.deepEqual(event?.regarding, regarding)
  assert.deepEqual([event.type, event.reason, event.action, event.note], ['Warning', 'Tested', 'Test', 'a note'])
  assert.deepEqual([event.reportingController, event.reportingInstance], ['imcluster.io/test', 'test-0'])
  assert.equal(event.series, undefined)
})

test('the same again is a count, not another event, also after the server forgot it', async () => {
  const object = await applyConfigMap(direct, namespace.name, 'often', 'x')
  await using recording = startRecorder()
  recording.recorder.record(object, draft)
  await until('the event', async () => (await eventsOf('often')).length === 1, 5_000)
  for (let i = 0; i < 9; i += 1) recording.recorder.record(object, draft)
  recording.recorder.record(object, { ...draft, note: 'another note' })
  await until('the count', async () => (await eventsOf('often')).some(({ series }) => series?.count === 10), 5_000)
  const found = await eventsOf('often')
  assert.deepEqual(found.map(({ note }) => note).toSorted(), ['a note', 'another note'])

  for (const { metadata } of found) await direct.delete(events, metadata)
  recording.recorder.record(object, draft)
  await until('the event anew', async () => (await eventsOf('often'))[0]?.series?.count === 11, 5_000)
})

test('a storm about one object is bounded, and what is left out is told', async () => {
  const object = await applyConfigMap(direct, namespace.name, 'storm', 'x')
  await using recording = startRecorder()
  const started = performance.now()
  for (let i = 0; i < 5_000; i += 1) recording.recorder.record(object, { ...draft, note: `note ${i}` })
  assert.ok(performance.now() - started < 2_000, 'record never waits')
  await until('the burst', async () => (await eventsOf('storm')).length === 25, 10_000)
  assert.equal(recording.dropped.length, 5_000 - 25)
})

test('texts too long for the server are cut', async () => {
  const name = `long-${'x'.repeat(240)}`
  const object = await applyConfigMap(direct, namespace.name, name, 'x')
  await using recording = startRecorder()
  recording.recorder.record(object, { ...draft, note: 'ü'.repeat(2_000) })
  await until('the event', async () => (await eventsOf(name)).length === 1, 5_000)
  assert.equal((await eventsOf(name))[0]?.note, 'ü'.repeat(512))
  assert.deepEqual(recording.dropped, [])
})

test('a refused event is dropped once, with the reason', async () => {
  await using recording = startRecorder()
  recording.recorder.record({ metadata: { name: 'x', namespace: 'no-such-namespace', uid: 'u' } }, draft)
  await until('the drop', () => recording.dropped.length === 1, 5_000)
  assert.match(recording.dropped[0]?.cause?.message ?? '', /404/)
})

test('events survive an outage shorter than their tries, and failures at random, without doubles', async () => {
  const object = await applyConfigMap(direct, namespace.name, 'outage', 'x')
  const { proxy, config } = await startTcpProxy()
  await using _ = proxy
  using api = openApi(config)
  await using recording = startRecorder({ api })
  proxy.refuse()
  recording.recorder.record(object, draft)
  setTimeout(() => proxy.pass(), 1_500)
  await until('the event', async () => (await eventsOf('outage')).length === 1, 15_000)

  const faulty = await startFaultProxy(11)
  await using faults = faulty.proxy
  using faultyApi = openApi(faulty.config)
  await using failing = startRecorder({ api: faultyApi })
  const other = await applyConfigMap(direct, namespace.name, 'faults', 'x')
  faults.share = 0.25
  for (let i = 0; i < 20; i += 1) failing.recorder.record(other, { ...draft, note: `note ${i}` })
  await until('all events', async () => (await eventsOf('faults')).length >= 20, 30_000)
  assert.equal((await eventsOf('faults')).length, 20)
})

test('what is recorded last is written before the recorder ends', async () => {
  const object = await applyConfigMap(direct, namespace.name, 'last', 'x')
  const recording = startRecorder()
  recording.recorder.record(object, draft)
  await recording.stop()
  assert.equal((await eventsOf('last')).length, 1)
})
