import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRedisUrl } from './redis-url.ts'

test('one Redis, with and without everything', () => {
  const plain = { kind: 'single', tls: false, hosts: [{ host: 'h', port: 6379 }], db: 0 }
  assert.deepEqual(parseRedisUrl('redis://h'), plain)
  assert.deepEqual(parseRedisUrl('redis://h/'), plain)
  assert.deepEqual(parseRedisUrl('rediss://me:p%40ss%2F@h:1/2'), {
    kind: 'single',
    tls: true,
    hosts: [{ host: 'h', port: 1 }],
    username: 'me',
    password: 'p@ss/',
    db: 2,
  })
  assert.equal(parseRedisUrl('redis://:secret@h').password, 'secret')
  assert.deepEqual(parseRedisUrl('redis://[::1]:7000').hosts, [{ host: '::1', port: 7000 }])
  assert.deepEqual(parseRedisUrl('rediss-cluster://[fd00::1]:7000,[fd00::2]').hosts, [
    { host: 'fd00::1', port: 7000 },
    { host: 'fd00::2', port: 6379 },
  ])
})

test('a cluster and sentinels take several hosts', () => {
  const hosts = [
    { host: 'a', port: 6379 },
    { host: 'b', port: 7001 },
  ]
  assert.deepEqual(parseRedisUrl('rediss-cluster://a,b:7001'), { kind: 'cluster', tls: true, hosts, db: 0 })
  assert.deepEqual(parseRedisUrl('redis-sentinel://:x@a,b:7001/main/3'), {
    kind: 'sentinel',
    tls: false,
    hosts: [{ host: 'a', port: 26379 }, hosts[1]],
    password: 'x',
    masterName: 'main',
    db: 3,
  })
})

test('mistakes are explained without repeating the URL', () => {
  const wrong = {
    'http://:hidden@h': /must be redis:/,
    'redis://': /followed by hosts/,
    'redis://:hidden@a,b': /takes one host/,
    'redis://:hidden@h/x': /number of a database/,
    'redis://:hidden@h/1/2': /number of a database/,
    'redis://:hidden%@h': /%/,
    'redis://:hidden@h:0': /a host must be/,
    'redis://:hidden@h:x': /a host must be/,
    'redis-cluster://:hidden@h/1': /database 0/,
    'redis-sentinel://:hidden@h': /name of the primary/,
  }
  for (const [url, message] of Object.entries(wrong)) {
    assert.throws(() => parseRedisUrl(url), { code: 'redis_url_invalid', message }, url)
    assert.throws(
      () => parseRedisUrl(url),
      (error: Error) => !error.message.includes('hidden'),
    )
  }
})
