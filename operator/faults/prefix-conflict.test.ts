import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ImCluster } from '../api/imcluster.ts'
import { buildTestCluster } from '../build/test-cluster.ts'
import { buildPrefixConflict, findNatsRival } from './prefix-conflict.ts'

interface Place {
  readonly namespace: string
  readonly createdAt?: number
  readonly servers?: readonly string[]
  readonly subjectPrefix?: string
}

/** An ImCluster `im`, created at a second of the same minute. */
function place({
  namespace,
  createdAt = 0,
  servers = ['nats://nats.shared:4222'],
  subjectPrefix = '',
}: Place): ImCluster {
  const cluster = buildTestCluster({ nats: { servers, subjectPrefix } })
  const creationTimestamp = new Date(Date.UTC(2026, 0, 1, 0, 0, createdAt)).toISOString()
  return { ...cluster, metadata: { ...cluster.metadata, namespace, uid: `uid-${namespace}`, creationTimestamp } }
}

/** The namespace of the rival that `a` has in `b`. */
function rivalOf(a: ImCluster, b: ImCluster, ...established: ImCluster[]): string | undefined {
  return findNatsRival(a, [a, b], (cluster) => established.includes(cluster))?.metadata.namespace
}

test('of two on one NATS with one prefix, the one that was created later is refused', () => {
  const [a, b] = [place({ namespace: 'a' }), place({ namespace: 'b', createdAt: 1 })]
  assert.equal(rivalOf(a, b), undefined)
  assert.equal(rivalOf(b, a), 'a')
})

test('of two created in the same second, exactly one is refused', () => {
  const [a, b] = [place({ namespace: 'a' }), place({ namespace: 'b' })]
  assert.deepEqual([rivalOf(a, b), rivalOf(b, a)], [undefined, 'a'])
})

test('one that has gateways is not disturbed by an older one that comes to its NATS', () => {
  const [a, b] = [place({ namespace: 'a' }), place({ namespace: 'b', createdAt: 1 })]
  assert.deepEqual([rivalOf(a, b, b), rivalOf(b, a, b)], ['b', undefined])
})

test('another prefix, or another NATS, is no rival', () => {
  const b = place({ namespace: 'b', createdAt: 1 })
  assert.equal(rivalOf(b, place({ namespace: 'a', subjectPrefix: 'a.' })), undefined)
  assert.equal(rivalOf(b, place({ namespace: 'a', servers: ['nats.shared:4223'] })), undefined)
})

test('a name without a dot is another NATS in each namespace; however a server is written, it is the same', () => {
  const short = (namespace: string, createdAt: number) => place({ namespace, createdAt, servers: ['nats://nats'] })
  assert.equal(rivalOf(short('b', 1), short('a', 0)), undefined)
  const many = place({ namespace: 'b', createdAt: 1, servers: ['tls://other:1', 'NATS.shared'] })
  assert.equal(rivalOf(many, place({ namespace: 'a' })), 'a')
})

test('a server that has no address is nobody’s rival, and keeps nobody from being one', () => {
  const bad = place({ namespace: 'b', createdAt: 1, servers: ['nats://nats:70000', 'nats.shared'] })
  assert.equal(rivalOf(bad, place({ namespace: 'a' })), 'a')
  assert.equal(rivalOf(place({ namespace: 'c', createdAt: 2, servers: ['nats://[FD00::1]'] }), bad), undefined)
})

test('the message says who has the name, and which prefixes to set', () => {
  const b = place({ namespace: 'b' })
  const { reason, message } = buildPrefixConflict(b, { nats: place({ namespace: 'a' }) })
  assert.equal(reason, 'PrefixConflict')
  assert.match(message, /a\/im is on the same NATS.*spec\.redis\.keyPrefix, like 'b:', and spec\.nats\.subjectPrefix/)
  const owner = { namespace: 'c', uid: 'u' }
  assert.match(buildPrefixConflict(b, { redis: { owner, brokers: [] } }).message, /c\/im is on the same Redis .*'im:'/)
  const lease = { brokerId: 'im-0', podUid: 'p', bootId: 'b', host: '10.0.0.9', startedAt: 0 }
  const brokers = [{ ...lease, state: 'ready', connections: 1 } as const]
  assert.match(buildPrefixConflict(b, { redis: { owner: undefined, brokers } }).message, /im-0 at 10\.0\.0\.9/)
})
