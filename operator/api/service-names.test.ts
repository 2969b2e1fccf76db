import assert from 'node:assert/strict'
import { test } from 'node:test'
import { qualifyHosts } from './service-names.ts'

const cases: readonly (readonly [url: string, wanted: string])[] = [
  ['redis://redis:6379', 'redis://redis.chat.svc:6379'],
  ['redis://redis', 'redis://redis.chat.svc'],
  ['rediss://user:p.w%40x@redis:6380/2', 'rediss://user:p.w%40x@redis.chat.svc:6380/2'],
  ['redis-cluster://a:1,b.other:2,c', 'redis-cluster://a.chat.svc:1,b.other:2,c.chat.svc'],
  ['redis-sentinel://:pw@s-0,s-1/main/1', 'redis-sentinel://:pw@s-0.chat.svc,s-1.chat.svc/main/1'],
  ['nats', 'nats.chat.svc'],
  ['nats:4222', 'nats.chat.svc:4222'],
  ['tls://nats:4222', 'tls://nats.chat.svc:4222'],
  ['redis://redis.example.org:6379/1', 'redis://redis.example.org:6379/1'],
  ['redis://10.0.0.1:6379', 'redis://10.0.0.1:6379'],
  ['redis://[fd00::1]:6379', 'redis://[fd00::1]:6379'],
  ['redis://localhost:6379', 'redis://localhost:6379'],
  ['', ''],
]

test('hosts without a dot are Services of the namespace of the cluster, others are left alone', () => {
  for (const [url, wanted] of cases) assert.equal(qualifyHosts(url, 'chat'), wanted)
})
