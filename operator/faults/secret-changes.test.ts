import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lease } from '../../session/brokers/broker.ts'
import { digestSecrets } from '../../session/secret-digest.ts'
import { buildTestCluster } from '../build/test-cluster.ts'
import type { Pod } from '../reads/pod.ts'
import type { KubeApi } from '../../controller/api.ts'
import { findSecretChanges, type KnownSecrets } from './secret-changes.ts'

const cluster = buildTestCluster({ auth: { mode: 'secret', secretRef: { name: 'team-auth', key: 'secret' } } })
const statefulSet = { metadata: { name: 'im' }, status: { updateRevision: 'r2' } } as never
const signal = new AbortController().signal
const MINUTE = 60_000

function buildPod(at: number, form: string | undefined = '2', revision = 'r2'): Pod {
  const annotations = form === '1' ? {} : { 'imcluster.io/template-form': form }
  const labels = { 'controller-revision-hash': revision }
  return { metadata: { name: `im-${at}`, uid: `uid-${at}`, labels, annotations } }
}

async function leaseOf(at: number, key: string | undefined, more: Partial<Lease> = {}): Promise<[string, Lease]> {
  const secrets = key === undefined ? undefined : { auth: await digestSecrets('auth', 'im:', { IM_AUTH_SECRET: key }) }
  const who = { brokerId: `im-${at}`, podUid: `uid-${at}`, bootId: 'b', host: '', startedAt: 0 }
  return [`im-${at}`, { ...who, state: 'ready', connections: 0, secrets, ...more }]
}

/** What is said, pass by pass, of gateways whose Secret holds a key. */
function watch(of = cluster) {
  const known: KnownSecrets = { readAt: -Infinity, digests: new Map(), late: undefined }
  let version = 0
  let secret = ''
  let reads = 0
  const api = {
    get: () => {
      reads += 1
      const data = { secret: Buffer.from(secret).toString('base64') }
      return Promise.resolve({ metadata: { uid: 'u', resourceVersion: String(version) }, data })
    },
  } as unknown as KubeApi
  return {
    set(key: string) {
      secret = key
      version += 1
    },
    get reads() {
      return reads
    },
    async look(pods: readonly Pod[], leases: readonly [string, Lease][], now: number) {
      const said = await findSecretChanges(api, known, of, statefulSet, pods, new Map(leases), signal, now)
      return [said.changing?.message, ...said.faults.map(({ reason, message }) => `${reason}: ${message}`)]
    },
  }
}

test('a change is told while gateways come to use it, and for how long it may take', async () => {
  const secrets = watch()
  secrets.set('old')
  const pods = [buildPod(0), buildPod(1)]
  const [oldZero, oldOne] = [await leaseOf(0, 'old'), await leaseOf(1, 'old')]
  const [newZero, newOne] = [await leaseOf(0, 'new'), await leaseOf(1, 'new')]
  assert.deepEqual(await secrets.look(pods, [oldZero, oldOne], 0), [undefined])
  secrets.set('new')
  // Not read so soon again.
  assert.deepEqual(await secrets.look(pods, [oldZero, oldOne], 1_000), [undefined])
  assert.equal(secrets.reads, 1)
  const coming = 'will use what the Secret team-auth holds in a moment'
  assert.deepEqual(await secrets.look(pods, [oldZero, oldOne], MINUTE), [`im-0, im-1 ${coming}`])
  assert.deepEqual(await secrets.look(pods, [newZero, oldOne], 2 * MINUTE), [`im-1 ${coming}`])
  assert.deepEqual(await secrets.look(pods, [newZero, oldOne], 5 * MINUTE), [
    undefined,
    'SecretOutdated: im-1: not what the Secret team-auth holds is used; kubectl --namespace chat rollout restart statefulset/im brings it to them',
  ])
  assert.deepEqual(await secrets.look(pods, [newZero, newOne], 6 * MINUTE), [undefined])
  secrets.set('newer')
  assert.deepEqual(await secrets.look(pods, [newZero, newOne], 7 * MINUTE), [`im-0, im-1 ${coming}`])
})

test('gateways that have the Secret in their environment alone need a restart, at once', async () => {
  const secrets = watch()
  secrets.set('new')
  const said = await secrets.look([buildPod(0, '1')], [await leaseOf(0, 'old')], 0)
  assert.match(said.join(), /^,SecretOutdated: im-0: .*rollout restart/)
})

test('nothing is said of 0.2.0, of a roll-out under way, of pods that go, and of a gateway that says itself why', async () => {
  const secrets = watch()
  secrets.set('new')
  assert.deepEqual(await secrets.look([buildPod(0)], [await leaseOf(0, undefined)], 0), [undefined])
  assert.deepEqual(await secrets.look([buildPod(0, '2', 'r1')], [await leaseOf(0, 'old')], 0), [undefined])
  const leaving = buildPod(0)
  leaving.metadata.deletionTimestamp = '2026-01-01T00:00:00Z'
  assert.deepEqual(await secrets.look([leaving], [await leaseOf(0, 'old')], 0), [undefined])
  const troubles = [{ reason: 'SecretUnusable', message: 'too short' }]
  for (const now of [0, 10 * MINUTE]) {
    const said = await secrets.look([buildPod(0)], [await leaseOf(0, 'old', { troubles })], now)
    assert.equal(said.length, 1)
  }
})

test('a gateway that is ready, and not in the Redis that the Secret names now, uses another one: a restart is not advised', async () => {
  const secrets = watch(buildTestCluster({ redis: { urlSecretRef: { name: 'team-redis', key: 'secret' } } }))
  secrets.set('redis://elsewhere')
  const status = { conditions: [{ type: 'Ready', status: 'True' }] }
  const pods = [Object.assign(buildPod(0), { status }), buildPod(1)]
  assert.match((await secrets.look(pods, [], 0)).join(), /^im-0 will use what the Secret team-redis holds/)
  const said = (await secrets.look(pods, [], 5 * MINUTE)).join()
  assert.match(
    said,
    /^,SecretOutdated: im-0: ready, and not heard of in the Redis that the Secret team-redis names now: /,
  )
  assert.doesNotMatch(said, /restart/)
})
