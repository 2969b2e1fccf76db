import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Delivery } from './delivery.ts'
import { Inbox, type Source } from './inbox.ts'
import type { Cursor } from './message.ts'
import { buildMessage } from './test-gateway.ts'

const limits = { maxQueuedMessages: 4, maxQueuedMessageBytes: 1_000, maxUnacked: 100 }

function setUp(cursor?: Cursor) {
  const seen: string[] = []
  const broken: Source[] = []
  const events = {
    gap: (gap: { reason: string; fromSeq: number; toSeq: number }) =>
      seen.push(`${gap.reason} ${gap.fromSeq}-${gap.toSeq}`),
    handled() {},
    room() {},
  }
  const delivery = new Delivery(false, limits, events)
  delivery.consume((message) => void seen.push(`${message.epoch}/${message.seq}`))
  const inbox = new Inbox(cursor, delivery, {
    broken: (source) => void broken.push(source),
    repeated() {},
  })
  const attach = (epoch: string, seq: number, resumedEpoch = inbox.cursor?.epoch ?? ''): Source => {
    const source = { resumedEpoch, session: { epoch, seq } }
    inbox.attach(source)
    return source
  }
  return { inbox, delivery, seen, broken, attach }
}

const gap = (epoch: string, fromSeq: number, toSeq: number, reason: 'trimmed' | 'reset') =>
  ({ type: 'gap', stream: 'inbox', epoch, fromSeq, toSeq, reason }) as const

test('what two connections of a hand-over bring becomes one sequence without repeats', () => {
  const { inbox, seen, attach } = setUp()
  const old = attach('e', 4)
  inbox.message(old, buildMessage(5))
  const next = attach('e', 5)
  inbox.message(old, buildMessage(6))
  inbox.message(next, buildMessage(6))
  inbox.message(next, buildMessage(7))
  inbox.message(old, buildMessage(7))
  assert.deepEqual(seen, ['e/5', 'e/6', 'e/7'])
  assert.deepEqual(inbox.cursor, { epoch: 'e', seq: 7 })
})

test('only what a connection brought itself can be acknowledged over it', () => {
  const { inbox, attach } = setUp()
  const old = attach('e', 4)
  inbox.message(old, buildMessage(5))
  inbox.message(old, buildMessage(6))
  const next = attach('e', 5)
  assert.deepEqual(inbox.limitTo(next, { epoch: 'e', seq: 6 }), { epoch: 'e', seq: 5 })
  inbox.message(next, buildMessage(6))
  assert.deepEqual(inbox.limitTo(next, { epoch: 'e', seq: 6 }), { epoch: 'e', seq: 6 })
  assert.deepEqual(inbox.limitTo(next, { epoch: 'e', seq: 3 }), { epoch: 'e', seq: 3 })
  assert.equal(inbox.limitTo(next, { epoch: 'other', seq: 3 }), undefined)
})

test('a message that cannot follow is not handed out, nor anything after it on that connection', () => {
  const { inbox, seen, broken, attach } = setUp({ epoch: 'e', seq: 1 })
  const source = attach('e', 1)
  inbox.message(source, buildMessage(3))
  inbox.message(source, buildMessage(2))
  assert.deepEqual(seen, [])
  assert.deepEqual(broken, [source])
  const next = attach('e', 1)
  inbox.message(next, buildMessage(2))
  assert.deepEqual(seen, ['e/2'])
})

test('a trimmed gap is told once, for the part that is really missing', () => {
  const { inbox, seen, attach } = setUp({ epoch: 'e', seq: 3 })
  const one = attach('e', 3)
  const two = attach('e', 3)
  inbox.gap(one, gap('e', 2, 6, 'trimmed'))
  inbox.gap(two, gap('e', 2, 6, 'trimmed'))
  inbox.message(two, buildMessage(7))
  assert.deepEqual(seen, ['trimmed 4-6', 'e/7'])
})

test('after a reset only connections that know of the new epoch count', () => {
  const { inbox, seen, attach } = setUp({ epoch: 'a', seq: 9 })
  const old = attach('a', 9)
  const next = attach('b', 0)
  inbox.gap(next, gap('b', 0, 0, 'reset'))
  inbox.message(next, buildMessage(1))
  inbox.message(old, buildMessage(10))
  inbox.gap(old, gap('b', 0, 0, 'reset'))
  inbox.message(old, buildMessage(1))
  inbox.message(old, buildMessage(2))
  assert.deepEqual(seen, ['reset 0-0', 'b/1', 'b/2'])
})

test('a reset within the same epoch goes back', () => {
  const { inbox, seen, attach } = setUp({ epoch: 'a', seq: 9 })
  const source = attach('a', 9)
  inbox.gap(source, gap('a', 4, 3, 'reset'))
  inbox.message(source, buildMessage(4))
  assert.deepEqual(seen, ['reset 4-3', 'a/4'])
})

test('an empty gap only gives the stream a new name: the application is not told', () => {
  const { inbox, delivery, seen, broken, attach } = setUp({ epoch: 'a', seq: 1 })
  const old = attach('a', 1)
  inbox.message(old, buildMessage(2))
  const next = attach('b', 2)
  inbox.gap(next, gap('b', 3, 2, 'trimmed'))
  inbox.message(next, buildMessage(3))
  inbox.message(old, buildMessage(3))
  inbox.gap(old, gap('b', 3, 2, 'trimmed'))
  inbox.message(old, buildMessage(3))
  assert.deepEqual(seen, ['a/2', 'b/3'])
  assert.deepEqual(broken, [])
  assert.deepEqual(inbox.cursor, { epoch: 'b', seq: 3 })
  assert.deepEqual(delivery.position, { epoch: 'b', seq: 3 })
  assert.deepEqual(inbox.limitTo(next, { epoch: 'b', seq: 3 }), { epoch: 'b', seq: 3 })
})

test('an empty gap that ends before what another connection brought is asked about again', () => {
  const { inbox, seen, broken, attach } = setUp({ epoch: 'a', seq: 1 })
  const old = attach('a', 1)
  const next = attach('b', 1)
  inbox.message(old, buildMessage(2))
  inbox.gap(next, gap('b', 2, 1, 'trimmed'))
  assert.deepEqual(seen, ['a/2'])
  assert.deepEqual(broken, [next])
  assert.deepEqual(inbox.cursor, { epoch: 'a', seq: 2 })
})

test('messages of another epoch without the gap that is due do not count', () => {
  const { inbox, seen, broken, attach } = setUp({ epoch: 'a', seq: 9 })
  const source = attach('b', 9)
  inbox.message(source, buildMessage(10))
  assert.deepEqual(seen, [])
  assert.deepEqual(broken, [source])
})

test('without room a message is not taken over, and a later connection brings it again', () => {
  const { inbox, delivery, seen, broken, attach } = setUp()
  delivery.consume(undefined)
  const source = attach('e', 0)
  for (let seq = 1; seq <= 10; seq++) inbox.message(source, buildMessage(seq))
  assert.ok(inbox.isStalled(source))
  assert.deepEqual(broken, [], 'it is not the gateway that left something out')
  assert.equal(inbox.cursor?.seq, 4)
  delivery.consume((message) => void seen.push(`${message.epoch}/${message.seq}`))
  inbox.message(source, buildMessage(11))
  const next = attach('e', 4)
  inbox.message(next, buildMessage(5))
  assert.deepEqual(seen, ['e/1', 'e/2', 'e/3', 'e/4', 'e/5'])
})

test('a transient message is handed out without moving the cursor', () => {
  const { inbox, seen, attach } = setUp({ epoch: 'e', seq: 3 })
  const source = attach('e', 3)
  inbox.message(source, buildMessage(0))
  assert.deepEqual(seen, ['/0'])
  assert.deepEqual(inbox.cursor, { epoch: 'e', seq: 3 })
})
