import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAddress } from './address.ts'

test('an IPv6 address is in brackets before a port, and nothing else is', () => {
  assert.deepEqual(
    ['::1', '2001:db8::7', '::ffff:10.0.0.1', '10.0.0.1', 'redis.data'].map((host) => formatAddress(host, 80)),
    ['[::1]:80', '[2001:db8::7]:80', '[::ffff:10.0.0.1]:80', '10.0.0.1:80', 'redis.data:80'],
  )
})
