import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { readHead, readRecords } from './binary-message.ts'
import type { BusRecord } from './bus-record.ts'
import { decodeJsonRecords } from './json-records.ts'
import { Receivers } from './receivers.ts'
import { Senders } from './senders.ts'

const MAX_BYTES = 4_096
const here = { brokerId: 'im-0', incarnation: 'pod/b1-here' }
const there = { brokerId: 'im-1', incarnation: 'pod/b1-there' }
const former = { brokerId: 'im-2', incarnation: 'pod/3fb1-former' }
const push: BusRecord = { type: 'push', appId: 1, userId: 'bob', epoch: 'e', seq: 1 }
const typing: BusRecord = { type: 'transient', appId: 1, userId: 'bob', tried: [] }

/** One that writes and one that reads, and what is between them. */
function connectTwo(drops: (message: Buffer) => boolean = () => false) {
  const counts = { records: 0, messages: 0, holes: 0, compared: 0 }
  const senders = new Senders('b1-there', { hole: () => (counts.holes += 1), compare: () => (counts.compared += 1) })
  const receivers = new Receivers({
    brokerId: here.brokerId,
    bootId: 'b1-here',
    send: (_to, message) => {
      counts.messages += 1
      if (drops(message)) return
      const { number, route, end } = readHead(message)
      assert.equal(route, 'b1-there/im-0/b1-here')
      assert.deepEqual(senders.heard(route, number, end === message.length), {
        brokerId: 'im-0',
        incarnation: 'b1-here',
      })
      readRecords(message, end, () => (counts.records += 1))
    },
  })
  const tick = (count = 1) => {
    for (let at = 0; at < count; at++) {
      receivers.tick()
      senders.tick()
    }
  }
  const send = (count = 1) => {
    for (let at = 0; at < count; at++) assert.ok(receivers.get(there).add(push, undefined, MAX_BYTES) > 0)
    receivers.get(there).flush(true)
  }
  return { counts, senders, receivers, send, tick }
}

/** Says of each message in turn whether it is lost. */
function loses(...plan: boolean[]): () => boolean {
  return () => plan.shift() ?? false
}

test('records of one turn share a message, and a long turn makes several', () => {
  const { counts, send } = connectTwo()
  send(5)
  assert.deepEqual([counts.messages, counts.records], [1, 5])
  send(1_000)
  assert.equal(counts.records, 1_005)
  assert.ok(counts.messages > 5 && counts.messages < 50, `${counts.messages} messages`)
  assert.equal(counts.holes, 0)
})

test('a pair at rest is told some times in five minutes, and then there is nothing more to send', () => {
  const { counts, send, tick } = connectTwo()
  send()
  tick(3)
  assert.equal(counts.messages, 2)
  tick(7)
  assert.equal(counts.messages, 3)
  tick(300)
  assert.equal(counts.messages, 6)
  tick(1_000)
  assert.deepEqual(counts, { records: 1, messages: 6, holes: 0, compared: 0 })
})

test('a way that is broken for long: what was lost shows soon after it is mended, whether one was heard before or not', () => {
  for (const heard of [true, false]) {
    for (const [broken, within] of [
      [8, 15],
      [25, 40],
      [100, 205],
      [290, 15],
    ] as const) {
      let lost = false
      const { counts, send, tick } = connectTwo(() => lost)
      if (heard) {
        send()
        tick(10)
      }
      lost = true
      send()
      tick(broken)
      // One that was heard and settled is not known to have fallen silent.
      assert.equal(counts.compared, 0)
      lost = false
      tick(within)
      assert.equal(counts.compared, 1, `broken for ${broken} s${heard ? ', heard before' : ''}`)
      const { messages } = counts
      tick(1_000)
      assert.ok(counts.messages - messages <= 3)
      assert.equal(counts.compared, 1)
    }
  }
})

test('a pair that is never at rest needs no further messages', () => {
  const { counts, send, tick } = connectTwo()
  for (let at = 0; at < 100; at++) {
    send()
    tick()
  }
  assert.deepEqual(counts, { records: 100, messages: 100, holes: 0, compared: 0 })
})

test('the first message ever, lost, shows with the number that follows', () => {
  const { counts, send, tick } = connectTwo(loses(true))
  send()
  tick(3)
  assert.deepEqual(counts, { records: 0, messages: 2, holes: 1, compared: 1 })
})

test('a lost message shows with the next one, at once', () => {
  const { counts, send, tick } = connectTwo(loses(false, true))
  for (let at = 0; at < 3; at++) send()
  assert.deepEqual([counts.records, counts.holes], [2, 1])
  tick()
  assert.equal(counts.compared, 1)
})

test('the last message, lost together with the number that follows, shows within ten seconds', () => {
  const { counts, send, tick } = connectTwo(loses(false, true, true))
  send()
  tick(20)
  assert.equal(counts.compared, 1, 'it sees that it hears no more')
  const silent = connectTwo(loses(true, true))
  silent.send()
  silent.tick(9)
  assert.equal(silent.counts.compared, 1, 'what it never heard of it is told again')
})

test('a sender that dies after its last message, and lost it, is missed', () => {
  const { counts, senders, send } = connectTwo(loses(false, true))
  send()
  send()
  for (let at = 0; at < 6; at++) senders.tick()
  assert.deepEqual([counts.holes, counts.compared], [1, 1])
  for (let at = 0; at < 100; at++) senders.tick()
  assert.deepEqual([counts.holes, counts.compared], [1, 1])
})

test('what the sender itself did not send is a hole, but not what may be lost', () => {
  const { counts, receivers, send, tick } = connectTwo()
  send()
  receivers.get(there).lose(typing)
  send()
  assert.equal(counts.holes, 0)
  receivers.get(there).lose(push)
  send()
  assert.equal(counts.holes, 1)
  receivers.get(there).lose(push)
  tick(3)
  assert.equal(counts.holes, 2, 'also when nothing follows')
  receivers.get(there).add(push, undefined, MAX_BYTES)
  receivers.get(there).flush(false)
  receivers.tellAll()
  assert.equal(counts.holes, 3, 'also when the connection ended with the turn')
})

test('many holes are told of at once, and then again after a while', () => {
  const { counts, send, tick } = connectTwo(() => counts.messages % 2 === 0)
  for (let at = 0; at < 100; at++) {
    send(1)
    tick()
  }
  assert.ok(counts.holes >= 40, `${counts.holes} holes`)
  assert.ok(counts.compared >= 15 && counts.compared <= 20, `${counts.compared} comparisons in 100 s`)
})

test('whatever is sent and lost, losses are found within ten seconds, and nothing else', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.constant('send' as const) },
    { weight: 1, arbitrary: fc.constant('lose' as const) },
    { weight: 4, arbitrary: fc.constant('tick' as const) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let losing = false
      const { counts, send, tick } = connectTwo(() => losing)
      let waiting: number | undefined
      let lost = false
      for (const what of [...steps, ...Array.from({ length: 10 }, () => 'tick' as const)]) {
        losing = what === 'lose'
        lost ||= losing
        const { compared } = counts
        if (what === 'tick') tick()
        else send()
        if (losing) waiting ??= 0
        else if (what === 'tick' && waiting !== undefined) waiting += 1
        if (counts.compared > compared) {
          assert.ok(lost, 'nothing was lost')
          waiting = undefined
        }
        assert.ok((waiting ?? 0) < 10, 'not found')
      }
    }),
    { numRuns: 1_000 },
  )
})

test('one that reads JSON alone gets no numbers, and is told of losses only', () => {
  const sent: string[] = []
  const receivers = new Receivers({
    brokerId: here.brokerId,
    bootId: 'b1-here',
    send: (to, message) => {
      assert.equal(to, 'im-2')
      for (const [record] of decodeJsonRecords(message)) sent.push(record.type)
    },
  })
  const receiver = receivers.get(former)
  for (const record of [push, typing]) assert.ok(receiver.add(record, undefined, MAX_BYTES) > 0)
  receiver.flush(true)
  for (let at = 0; at < 20; at++) receivers.tick()
  assert.deepEqual(sent.splice(0), ['push', 'transient'])
  receivers.get(former).lose(push)
  for (let at = 0; at < 20; at++) receivers.tick()
  assert.deepEqual(sent.splice(0), ['sync'])
})

test('while somebody sends without numbers heads are compared every eight seconds', () => {
  let compared = 0
  const senders = new Senders('b1-there', { hole: () => assert.fail('no hole'), compare: () => (compared += 1) })
  const run = (ticks: number) => {
    for (let at = 0; at < ticks; at++) senders.tick()
  }
  run(100)
  assert.equal(compared, 0)
  senders.heardUnnumbered()
  run(80)
  assert.ok(compared >= 9 && compared <= 11, `${compared} times`)
  run(1_000)
  assert.ok(compared <= 76, 'for ten minutes')
})

test('what is for a former process of the same broker is not counted', () => {
  const { senders, counts } = connectTwo()
  assert.deepEqual(senders.heard('b1-former/im-0/b1-here', 57, false), { brokerId: 'im-0', incarnation: 'b1-here' })
  assert.equal(counts.holes, 0)
  senders.heard('b1-there/im-0/b1-here', 2, false)
  assert.equal(counts.holes, 1)
})

test('very many receivers and senders are not all remembered, and none of them is lost for that', () => {
  const { receivers, senders, counts } = connectTwo()
  const place = (at: number) => ({ brokerId: `im-${at}`, incarnation: `pod/b1-${at}` })
  const first = receivers.get(place(0))
  for (let at = 1; at <= 10_000; at++) receivers.get(place(at))
  assert.notEqual(receivers.get(place(0)), first)
  assert.equal(receivers.get(place(10_000)), receivers.get(place(10_000)))
  for (let at = 0; at < 10_000; at++) senders.heard(`b1-there/im-${at}/b1-${at}`, 1, false)
  assert.equal(counts.holes, 0)
  senders.heard('b1-there/im-9999/b1-9999', 2, false)
  assert.equal(counts.holes, 0)
  senders.heard('b1-there/im-0/b1-0', 2, false)
  assert.equal(counts.holes, 1)
})
