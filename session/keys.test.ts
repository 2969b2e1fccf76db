import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { brokerField, deviceField, indexMember, Keys, parseDeviceField, parseIndexMember } from './keys.ts'

const keys = new Keys('im:')
const id = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: fc.constantFrom('{', '}', ':', '%', '/', 'a') }))
const user = fc.record({ appId: fc.nat(), userId: id }, { noNullPrototype: true })
const device = fc.record({ clientType: fc.nat(5), imei: id }, { noNullPrototype: true })

/** What Redis Cluster hashes: what is between the first { and the next }. */
function hashTag(key: string): string {
  const open = key.indexOf('{')
  return key.slice(open + 1, key.indexOf('}', open))
}

test('keys read as the design says', () => {
  const alice = { appId: 1, userId: 'alice' }
  assert.equal(keys.sessions(alice), 'im:{1:alice}:sessions')
  assert.equal(keys.inbox(alice), 'im:{1:alice}:inbox:list')
  assert.equal(keys.cursors(alice), 'im:{1:alice}:cursors')
  assert.equal(keys.brokers(), 'im:brokers')
  assert.equal(keys.clusters(), 'im:clusters')
  assert.equal(keys.lease('im-0'), 'im:broker:{im-0}')
  assert.equal(keys.index('im-0', 'b1'), 'im:broker:{im-0}:b1:sessions')
  assert.equal(deviceField({ clientType: 1, imei: 'x' }), '1:x')
  assert.equal(brokerField('im-0', 'b1'), 'im-0/b1')
})

test('no id reaches the key or the slot of another', () => {
  fc.assert(
    fc.property(user, user, (a, b) => {
      const all = (of: typeof a) => [
        keys.sessions(of),
        keys.inbox(of),
        keys.inboxMeta(of),
        keys.cursors(of),
        keys.inboxStream(of),
        keys.seen(of),
      ]
      assert.equal(new Set(all(a).map(hashTag)).size, 1)
      if (a.appId === b.appId && a.userId === b.userId) return
      assert.notEqual(hashTag(all(a)[0] ?? ''), hashTag(all(b)[0] ?? ''))
      assert.equal(new Set([...all(a), ...all(b)]).size, 12)
    }),
  )
})

test('device fields and index members give back what they were made of', () => {
  fc.assert(
    fc.property(user, device, (of, on) => {
      assert.deepEqual(parseDeviceField(deviceField(on)), on)
      assert.deepEqual(parseIndexMember(indexMember(of, on)), { user: of, device: on })
    }),
  )
  for (const garbage of ['', '1:a', '1:a:1', 'x:a:1:i', '1:a:1:i:j', '1:%zz:1:i']) {
    assert.equal(parseIndexMember(garbage), undefined, garbage)
  }
  assert.equal(parseDeviceField('x'), undefined)
})

test('a prefix with a brace, a lone surrogate and a broken appId are refused', () => {
  const code = { code: 'id_malformed' }
  assert.throws(() => new Keys('im{x}:'), code)
  assert.throws(() => keys.sessions({ appId: 1, userId: '\ud800' }), code)
  assert.throws(() => deviceField({ clientType: 1, imei: '\udfff' }), code)
  for (const appId of [-1, 1.5, Number.NaN, 2 ** 60]) {
    assert.throws(() => keys.sessions({ appId, userId: 'a' }), code)
  }
})
