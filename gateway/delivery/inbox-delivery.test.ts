import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import {
  buildSend,
  connectTcp,
  connectWebSocket,
  textOf,
  type LoginFields,
  type RawClient,
} from '../../test/kit/raw-client.ts'
import type { FrameOf } from '../../protocol/frames.ts'
import { Keys } from '../../session/keys.ts'
import {
  eventually,
  loginTcp,
  loginWebSocket,
  openBench,
  readMetric,
  SECRET,
  type GatewayAddress,
  type TestBench,
} from '../test-bench.ts'

const keys = new Keys()

let bench: TestBench
let redis: Redis
let gateway: GatewayAddress
let other: GatewayAddress
let alice: RawClient

before(async () => {
  bench = await openBench()
  redis = new Redis(bench.redis.url)
  // The verifying round is so slow that it heals nothing here.
  const settings = { VERIFY_ROUND_MS: '3600000' }
  gateway = await bench.startHere('gw-0', settings)
  other = await bench.startHere('gw-1', settings)
  alice = await loginTcp(gateway, { token: '1:alice' })
})

after(async () => {
  alice.destroy()
  redis.disconnect()
  await bench[Symbol.asyncDispose]()
})

/** Sends `first` to `last`, each with its number as the text. */
async function sendNumbers(to: string, first: number, last: number): Promise<void> {
  for (let seq = first; seq <= last; seq++) {
    alice.send(buildSend(to, `${SECRET} ${seq}`))
    assert.equal((await alice.next('accepted')).seq, seq)
  }
}

async function assertNumbers(client: RawClient, first: number, last: number): Promise<void> {
  for (let seq = first; seq <= last; seq++) {
    const message = await client.next('message')
    assert.deepEqual([message.seq, textOf(message)], [seq, `${SECRET} ${seq}`])
  }
}

/** Nothing more comes: what the gateway had to say about the login and all before has been said. */
async function assertNothingMore(client: RawClient, to: string, next: number): Promise<void> {
  await sendNumbers(to, next, next)
  await assertNumbers(client, next, next)
  assert.deepEqual(client.unread, [])
}

async function login(fields: LoginFields): Promise<{ client: RawClient; loggedIn: FrameOf<'loggedIn'> }> {
  const client = await connectTcp(gateway.tcpUrl)
  return { client, loggedIn: await client.login(fields) }
}

function readCursors(userId: string): Promise<Record<string, string>> {
  return redis.hgetall(keys.cursors({ appId: 1, userId }))
}

describe('a device without a cursor', () => {
  test('starts with the earliest message, or after the newest', async () => {
    const token = '1:fresh'
    await sendNumbers('fresh', 1, 3)
    const all = await login({ token, imei: 'all' })
    assert.deepEqual([all.loggedIn.seq, all.loggedIn.head], [0, 3])
    await assertNumbers(all.client, 1, 3)
    const late = await login({ token, imei: 'late', start: 'head' })
    assert.deepEqual([late.loggedIn.seq, late.loggedIn.head], [3, 3])
    await all.client.next('notice')
    await sendNumbers('fresh', 4, 4)
    for (const { client } of [all, late]) {
      await assertNumbers(client, 4, 4)
      assert.deepEqual(client.unread, [])
      client.destroy()
    }
  })

  test('of a user who never got anything starts at nothing', async () => {
    for (const start of ['earliest', 'head'] as const) {
      const { client, loggedIn } = await login({ token: '1:empty', start, imei: start })
      assert.deepEqual([loggedIn.seq, loggedIn.head], [0, 0])
      assert.notEqual(loggedIn.epoch, '')
      client.destroy()
    }
  })
})

describe('a device that comes back', () => {
  test('goes on after its own cursor, whatever it acknowledged', async () => {
    await sendNumbers('own', 1, 5)
    const first = await login({ token: '1:own' })
    await assertNumbers(first.client, 1, 5)
    first.client.ack(5)
    await first.client.sync()
    first.client.destroy()
    const again = await login({ token: '1:own', epoch: first.loggedIn.epoch, seq: 2 })
    assert.equal(again.loggedIn.seq, 2)
    await assertNumbers(again.client, 3, 5)
    await assertNothingMore(again.client, 'own', 6)
    again.client.destroy()
  })

  test('without one of its own goes on after what it acknowledged, which is cumulative and never goes back', async () => {
    await sendNumbers('stored', 1, 5)
    const first = await login({ token: '1:stored' })
    await assertNumbers(first.client, 1, 5)
    for (const seq of [2, 4, 3, 0]) first.client.ack(seq)
    await first.client.sync()
    first.client.destroy()
    await eventually(
      () => readCursors('stored'),
      (cursors) => cursors['1:device']?.endsWith(':4') === true,
      'cursor',
    )

    const again = await loginTcp(other, { token: '1:stored' })
    await assertNumbers(again, 5, 5)
    await assertNothingMore(again, 'stored', 6)
    // Another device has another cursor.
    const second = await login({ token: '1:stored', imei: 'second' })
    await assertNumbers(second.client, 1, 6)
    again.destroy()
    second.client.destroy()
  })

  test('an acknowledgement is stored while the connection goes on', async () => {
    await sendNumbers('early', 1, 2)
    const { client } = await login({ token: '1:early' })
    await assertNumbers(client, 1, 2)
    client.ack(2)
    await eventually(
      () => readCursors('early'),
      (cursors) => cursors['1:device']?.endsWith(':2') === true,
      'cursor',
    )
    await client.sync()
    client.destroy()
  })

  test('with a cursor of another stream is told so, and gets everything', async () => {
    await sendNumbers('strange', 1, 3)
    const { epoch } = (await login({ token: '1:strange' })).loggedIn
    const { client, loggedIn } = await login({ token: '1:strange', epoch: 'another', seq: 2 })
    assert.deepEqual([loggedIn.epoch, loggedIn.seq, loggedIn.head], [epoch, 0, 3])
    const gap = await client.next('gap')
    assert.deepEqual(gap, { type: 'gap', stream: 'inbox', epoch, fromSeq: 0, toSeq: 0, reason: 'reset' })
    await assertNumbers(client, 1, 3)
    client.destroy()
  })

  test('with a cursor beyond the newest message is told so, and the next one has a new epoch', async () => {
    await sendNumbers('ahead', 1, 3)
    const { epoch } = (await login({ token: '1:ahead' })).loggedIn
    const { client, loggedIn } = await login({ token: '1:ahead', epoch, seq: 4 })
    assert.deepEqual([loggedIn.epoch, loggedIn.seq, loggedIn.head], [epoch, 3, 3])
    const { epoch: forked, ...gap } = await client.next('gap')
    assert.deepEqual(gap, { type: 'gap', stream: 'inbox', fromSeq: 0, toSeq: 3, reason: 'reset' })
    assert.notEqual(forked, epoch)
    await sendNumbers('ahead', 4, 4)
    await assertNumbers(client, 4, 4)
    client.destroy()
    // Another device, which has not been ahead, goes on: it is told of the new epoch, and that nothing is missing.
    const other = await login({ token: '1:ahead', epoch, seq: 2 })
    assert.deepEqual([other.loggedIn.epoch, other.loggedIn.seq], [forked, 2])
    const renamed = await other.client.next('gap')
    assert.deepEqual(renamed, { type: 'gap', stream: 'inbox', epoch: forked, fromSeq: 3, toSeq: 2, reason: 'trimmed' })
    await assertNumbers(other.client, 3, 4)
    other.client.destroy()
  })
})

describe('messages that are retained no more', () => {
  test('are a gap for whoever had not had them, and nothing for others', async () => {
    const small = await bench.startHere('small', { INBOX_MAX_LENGTH: '10' })
    await using sender = await loginTcp(small, { token: '1:sender' })
    const send = async (first: number, last: number) => {
      for (let seq = first; seq <= last; seq++) {
        sender.send(buildSend('hoarder', `${SECRET} ${seq}`))
        assert.equal((await sender.next('accepted')).seq, seq)
      }
    }
    await send(1, 5)
    const first = await connectTcp(small.tcpUrl)
    const { epoch } = await first.login({ token: '1:hoarder' })
    await assertNumbers(first, 1, 5)
    first.destroy()
    await send(6, 50)

    const behind = await connectTcp(small.tcpUrl)
    assert.equal((await behind.login({ token: '1:hoarder', epoch, seq: 5 })).seq, 5)
    const gap = await behind.next('gap')
    assert.deepEqual(gap, { type: 'gap', stream: 'inbox', epoch, fromSeq: 6, toSeq: 40, reason: 'trimmed' })
    await assertNumbers(behind, 41, 50)
    behind.destroy()

    const upToDate = await connectTcp(small.tcpUrl)
    await upToDate.login({ token: '1:hoarder', epoch, seq: 45 })
    await assertNumbers(upToDate, 46, 50)
    // A device without a cursor missed nothing that it was promised.
    const fresh = await connectTcp(small.tcpUrl)
    assert.equal((await fresh.login({ token: '1:hoarder', imei: 'fresh' })).seq, 40)
    await assertNumbers(fresh, 41, 50)
    for (const client of [upToDate, fresh]) {
      await client.sync()
      assert.deepEqual(
        client.unread.filter(({ type }) => type !== 'notice'),
        [],
      )
      client.destroy()
    }
    assert.equal(await readMetric(small, 'im_gaps_total{reason="trimmed"}'), 1)
  })
})

describe('an inbox that is lost while devices are connected', () => {
  test('is told as a gap with the new epoch; acknowledgements of the old one change nothing', async () => {
    await sendNumbers('lost', 1, 3)
    const { client, loggedIn } = await login({ token: '1:lost' })
    await assertNumbers(client, 1, 3)
    await redis.del(keys.inbox({ appId: 1, userId: 'lost' }), keys.inboxMeta({ appId: 1, userId: 'lost' }))
    await sendNumbers('lost', 1, 1)
    const gap = await client.next('gap')
    assert.deepEqual([gap.reason, gap.fromSeq, gap.toSeq], ['reset', 0, 0])
    assert.notEqual(gap.epoch, loggedIn.epoch)
    await assertNumbers(client, 1, 1)
    client.send({ type: 'ack', stream: 'inbox', epoch: loggedIn.epoch, seq: 3 })
    client.ack(1)
    await client.sync()
    await eventually(
      () => readCursors('lost'),
      (cursors) => cursors['1:device'] === `${gap.epoch}:1`,
      'cursor',
    )
    await assertNothingMore(client, 'lost', 2)
    client.destroy()
  })
})

describe('a message sent again', () => {
  test('is stored once, whatever connection or gateway it comes over, and answered alike', async () => {
    const messageId = 'same'
    const bob = await loginTcp(gateway, { token: '1:bob' })
    const senders = [
      alice,
      await loginWebSocket(gateway, { token: '1:alice', imei: 'browser' }),
      await loginTcp(other, { token: '1:alice', imei: 'elsewhere' }),
    ]
    const answers: FrameOf<'accepted'>[] = []
    for (const sender of [...senders, ...senders]) {
      sender.send(buildSend('bob', SECRET, { messageId }))
      answers.push(await sender.next('accepted'))
    }
    assert.deepEqual(
      answers.map(({ seq, duplicate }) => [seq, duplicate]),
      answers.map((_, index) => [1, index > 0]),
    )
    assert.equal(new Set(answers.map(({ sentAt }) => sentAt)).size, 1)
    assert.equal((await bob.next('message')).seq, 1)
    alice.send(buildSend('bob', `${SECRET} 2`))
    assert.equal((await alice.next('accepted')).seq, 2)
    await assertNumbers(bob, 2, 2)
    assert.deepEqual(bob.unread, [])
    bob.destroy()
    for (const sender of senders.slice(1)) sender.destroy()
  })

  test('at the same time over several connections is stored once', async () => {
    const senders = await Promise.all(
      [0, 1, 2, 3].map((index) => loginTcp(index % 2 === 0 ? gateway : other, { token: '1:zoe', imei: `${index}` })),
    )
    for (let round = 1; round <= 20; round++) {
      for (const sender of senders) sender.send(buildSend('rushed', SECRET, { messageId: `${round}` }))
      const answers = await Promise.all(senders.map((sender) => sender.next('accepted')))
      assert.deepEqual(
        answers.map(({ seq }) => seq),
        answers.map(() => round),
      )
      assert.equal(answers.filter(({ duplicate }) => !duplicate).length, 1)
    }
    for (const sender of senders) sender.destroy()
  })

  test('to somebody else, or by somebody else, is another message', async () => {
    await using mallory = await loginTcp(gateway, { token: '1:mallory' })
    for (const [sender, to, seq] of [
      [alice, 'x', 1],
      [alice, 'y', 1],
      [mallory, 'x', 2],
    ] as const) {
      sender.send(buildSend(to, SECRET, { messageId: 'shared' }))
      const { seq: given, duplicate } = await sender.next('accepted')
      assert.deepEqual([given, duplicate], [seq, false])
    }
  })
})

describe('a message', () => {
  test('arrives on every device of the recipient, on every transport and gateway, byte for byte', async () => {
    const devices = [
      await loginTcp(gateway, { token: '1:many', imei: 'tcp' }),
      await loginTcp(other, { token: '1:many', imei: 'other' }),
      await loginWebSocket(gateway, { token: '1:many', imei: 'json' }),
      await loginWebSocket(other, { token: '1:many', imei: 'binary' }, 'im.bin.v1'),
    ]
    const payloads = [
      Uint8Array.from({ length: 256 }, (_, index) => index),
      new Uint8Array(0),
      new TextEncoder().encode('\ufeffzażółć 🦆 "\\\u0000'),
    ]
    for (const [index, payload] of payloads.entries()) {
      for (const durable of [true, false]) {
        const messageId = `${index} ${durable}`
        alice.send(buildSend('many', '', { payload, messageId, durable }))
        const { seq, sentAt } = await alice.next('accepted')
        assert.equal(seq, durable ? index + 1 : 0)
        const expected = { type: 'message', stream: 'inbox', seq, from: 'alice', clientType: 1, messageId, sentAt }
        for (const device of devices) {
          const message = await device.next('message')
          assert.deepEqual({ ...message, payload: [...message.payload] }, { ...expected, payload: [...payload] })
        }
      }
    }
    for (const device of devices) device.destroy()
  })

  test('that is transient is not there for who comes later', async () => {
    alice.send(buildSend('away', SECRET, { durable: false, messageId: '' }))
    assert.equal((await alice.next('accepted')).seq, 0)
    await using client = await loginTcp(gateway, { token: '1:away' })
    await assertNothingMore(client, 'away', 1)
  })

  test('of another app is out of reach', async () => {
    await using stranger = await loginTcp(gateway, { token: '2:many' })
    await using here = await loginTcp(gateway, { token: '1:many', imei: 'here', start: 'head' })
    for (const durable of [true, false]) {
      alice.send(buildSend('many', SECRET, { durable }))
      await alice.next('accepted')
      await here.next('message')
    }
    await stranger.sync()
    assert.deepEqual(stranger.unread, [])
  })
})

test('whoever connects while messages stream in gets each once, in order, however often it moves', async () => {
  const senders = await Promise.all(
    [0, 1, 2, 3].map((index) => loginTcp(index % 2 === 0 ? gateway : other, { token: `1:sender-${index}` })),
  )
  const each = 150
  const sending = Promise.all(
    senders.map(async (sender) => {
      for (let index = 0; index < each; index++) {
        sender.send(buildSend('mover', SECRET))
        await sender.next('accepted')
      }
    }),
  )
  let cursor = { epoch: '', seq: 0 }
  let moves = 0
  while (cursor.seq < senders.length * each) {
    const gate = moves % 2 === 0 ? gateway : other
    const client = moves % 3 === 0 ? await connectWebSocket(gate.wsUrl) : await connectTcp(gate.tcpUrl)
    const { epoch } = await client.login({ token: '1:mover', ...cursor })
    const until = Math.min(cursor.seq + 40, senders.length * each)
    for (let seq = cursor.seq + 1; seq <= until; seq++) assert.equal((await client.next('message')).seq, seq)
    cursor = { epoch, seq: until }
    moves += 1
    client.destroy()
  }
  await sending
  for (const sender of senders) sender.destroy()
})
