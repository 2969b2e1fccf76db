import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KubeApi } from './api.ts'
import { LeaderElector } from './leader-election.ts'
import { buildMicroTime } from './lease.ts'
import { startTestServer } from './test-server.ts'

test('a time is written with the six digits that the API server demands', () => {
  assert.equal(buildMicroTime(new Date('2026-01-02T03:04:05.006Z')), '2026-01-02T03:04:05.006000Z')
  assert.equal(buildMicroTime(new Date('2026-01-02T03:04:05Z')), '2026-01-02T03:04:05.000000Z')
})

test('times that could let two lead are refused', async () => {
  await using server = await startTestServer(() => undefined)
  using api = new KubeApi(server.config)
  const options = { api, namespace: 'ns', name: 'lease', identity: 'a' }
  assert.ok(new LeaderElector(options))
  for (const wrong of [
    { leaseDurationMs: 10_000 },
    { renewDeadlineMs: 15_000 },
    { retryPeriodMs: 9_000 },
    { leaseDurationMs: 15_500 },
    { identity: '' },
  ]) {
    assert.throws(() => new LeaderElector({ ...options, ...wrong }), { code: 'CONFIG_INVALID' }, JSON.stringify(wrong))
  }
})

test('a candidate that reaches nobody reports it, and stops when told', async () => {
  const server = await startTestServer(() => undefined)
  await server[Symbol.asyncDispose]()
  using api = new KubeApi(server.config)
  const stop = new AbortController()
  const failed = Promise.withResolvers<Error>()
  const times = { leaseDurationMs: 3_000, renewDeadlineMs: 2_000, retryPeriodMs: 100 }
  const elector = new LeaderElector({
    api,
    namespace: 'ns',
    name: 'lease',
    identity: 'a',
    ...times,
    onError: failed.resolve,
  })
  const running = elector.run(stop.signal, () => Promise.reject(new Error('it must not lead')))
  assert.match((await failed.promise).message, /leases\/lease/)
  stop.abort()
  await running
  assert.ok(!elector.isLeading)
})
