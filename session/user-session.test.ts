import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatIncarnation, parseIncarnation, parseLease } from './brokers/broker.ts'
import { createSession } from './test-kit.ts'
import { formatUserSession, isNewer, parseUserSession } from './user-session.ts'

test('a session is read back as it was written, also with fields of a later version', () => {
  const session = createSession({ userId: 'ålice {:}', imei: '"\n' })
  assert.deepEqual(parseUserSession(formatUserSession(session)), session)
  assert.deepEqual(parseUserSession(JSON.stringify({ ...session, color: 'red' })), session)
})

test('garbage is refused by a message that names the fields and shows no values', () => {
  const code = { code: 'session_malformed' }
  for (const text of ['', 'null', '[]', '{', '7']) assert.throws(() => parseUserSession(text), code, text)
  const broken = JSON.stringify({ ...createSession(), connectState: 3, userId: 5, imei: 'secret' })
  assert.throws(() => parseUserSession(broken), { ...code, message: /userId.*connectState/ })
  assert.throws(
    () => parseUserSession(broken),
    (error: Error) => !error.message.includes('secret'),
  )
})

test('of two sessions exactly one is newer, also at the same time', () => {
  const a = createSession({ loginAt: 5, connectionId: 'a' })
  const b = createSession({ loginAt: 5, connectionId: 'b' })
  assert.deepEqual([isNewer(a, b), isNewer(b, a)], [false, true])
  assert.equal(isNewer({ ...a, loginAt: 6 }, b), true)
})

test('an incarnation falls into its parts, whatever the pod UID', () => {
  for (const podUid of ['', 'uid', 'a/b']) {
    assert.deepEqual(parseIncarnation(formatIncarnation({ podUid, bootId: 'boot' })), { podUid, bootId: 'boot' })
  }
})

test('an unreadable lease counts as absent', () => {
  for (const text of [null, undefined, '', '{', '[]', '{"brokerId":1}']) assert.equal(parseLease(text), undefined)
})
