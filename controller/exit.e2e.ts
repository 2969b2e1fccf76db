// Everything of the runtime in one process, which ends by itself once its signal aborts.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { createNamespace, openApi, readKubeConfig } from './test-kit.ts'

/** What an operator does, in short; it prints `leading`, stops on SIGTERM and must leave nothing that keeps it alive. */
const program = `
import { KubeApi } from './controller/api.ts'
import { EventRecorder } from './controller/event-recorder.ts'
import { LeaderElector } from './controller/leader-election.ts'
import { Reflector, stripBulk } from './controller/reflector.ts'
import { WorkQueue } from './controller/work-queue.ts'
import { loadKubeConfig } from './controller/http-client.ts'
import { keyOf } from './controller/resource.ts'

const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
const config = loadKubeConfig(process.env.KUBECONFIG)
const api = new KubeApi(config)
const electionApi = new KubeApi(config)
const namespace = process.env.RUNTIME_NAMESPACE
const elector = new LeaderElector({ api: electionApi, namespace, name: 'exit', identity: 'me' })
const recorder = new EventRecorder({ api, controller: 'imcluster.io/test', instance: 'test' })
await elector.run(stop.signal, async (leading) => {
  let worked
  const first = new Promise((resolve) => { worked = resolve })
  const queue = new WorkQueue({ reconcile: async (key) => { worked(key); return { requeueAfterMs: 3_600_000 } } })
  const resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true }
  const add = (object) => {
    queue.add(keyOf(object))
    recorder.record(object, { type: 'Normal', reason: 'Seen', action: 'See', note: 'seen' })
  }
  const reflector = new Reflector({ api, resource, namespace, handlers: { added: add }, transform: stripBulk, onError: console.error })
  const running = [reflector.run(leading), queue.run(leading), recorder.run(leading)]
  await reflector.waitForSync(20_000, leading)
  await first
  console.log('leading')
  await Promise.all(running)
})
api[Symbol.dispose]()
electionApi[Symbol.dispose]()
console.log('ended')
`

test('a process that led, watched, worked and recorded ends by itself within seconds of SIGTERM', async (t) => {
  using api = openApi(readKubeConfig())
  await using namespace = await createNamespace(api)
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: new URL('..', import.meta.url),
    env: { ...process.env, RUNTIME_NAMESPACE: namespace.name },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const deadline = setTimeout(() => child.kill('SIGKILL'), 60_000)
  let output = ''
  let stopped = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    if (stopped > 0 || !output.includes('leading')) return
    stopped = performance.now()
    child.kill('SIGTERM')
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  clearTimeout(deadline)
  assert.deepEqual([code, signal, output], [0, null, 'leading\nended\n'])
  const took = performance.now() - stopped
  assert.ok(took < 8_000, `${took} ms`)
  t.diagnostic(`ended ${Math.round(took)} ms after SIGTERM`)
})
