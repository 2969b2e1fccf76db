import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClientError, connect } from './index.ts'
import { ScriptedGateway } from './test-gateway.ts'
import { buildOptions, nextEvent, roundTrip } from './test-kit.ts'

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

test('a send resolves with what the gateway says of it', async () => {
  await using gateway = await ScriptedGateway.start('ws')
  await using client = connect(buildOptions(gateway.url))
  const connection = await gateway.admit()
  const sent = client.send('bob', 'hi', { messageId: 'm1' })
  const { requestId, ...frame } = await connection.accept(7, true)
  assert.ok(requestId > 0)
  assert.deepEqual(frame, {
    type: 'send',
    messageId: 'm1',
    to: 'bob',
    durable: true,
    payload: new TextEncoder().encode('hi'),
  })
  assert.deepEqual(await sent, { messageId: 'm1', seq: 7, sentAt: 1_007, duplicate: true })
})

test('every send has a messageId of its own unless one is given', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const connection = await gateway.admit()
  const sends = [client.send('bob', 'a'), client.send('bob', 'b')]
  const ids = [(await connection.accept(1)).messageId, (await connection.accept(2)).messageId]
  assert.deepEqual(
    (await Promise.all(sends)).map(({ messageId }) => messageId),
    ids,
  )
  assert.notEqual(ids[0], ids[1])
  assert.match(ids[0] ?? '', /^[0-9a-f]{32}$/)
})

test('what is sent before there is a connection, and what was not answered when one was lost, goes out with the same messageId', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const sends = [client.send('bob', 'one'), client.send('bob', 'two'), client.send('carol', 'three')]
  const first = await gateway.admit()
  const before = [await first.next('send'), await first.next('send'), await first.next('send')]
  first.send({ type: 'accepted', requestId: before[1]?.requestId ?? 0, seq: 2, sentAt: 1, duplicate: false })
  await sends[1]
  first.destroy()
  const second = await gateway.admit()
  const again = [await second.accept(1, true), await second.accept(1)]
  assert.deepEqual(
    again.map(({ messageId, payload }) => [messageId, text(payload)]),
    [before[0], before[2]].map((frame) => [frame?.messageId, text(frame?.payload ?? new Uint8Array())]),
  )
  assert.equal((await sends[0])?.duplicate, true)
  await sends[2]
})

test('what is sent again goes before what was not sent yet', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { maxInFlight: 1 }))
  const sends = ['one', 'two', 'three'].map((payload) => client.send('bob', payload))
  const first = await gateway.admit()
  await first.next('send')
  first.destroy()
  const second = await gateway.admit()
  const order: string[] = []
  for (let seq = 1; seq <= 3; seq++) order.push(text((await second.accept(seq)).payload))
  assert.deepEqual(order, ['one', 'two', 'three'])
  await Promise.all(sends)
})

test('"try again" is tried again, and later sends to that recipient do not overtake', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { backoffBaseMs: 100, backoffCapMs: 100 }))
  const connection = await gateway.admit()
  const first = client.send('bob', 'one')
  const { messageId } = await connection.refuse(4001)
  await roundTrip(client, connection)
  const second = client.send('bob', 'two')
  const third = client.send('carol', 'three')
  const order: string[] = []
  for (let n = 0; n < 3; n++) {
    const frame = await connection.accept(n + 1)
    order.push(text(frame.payload))
    if (order.at(-1) === 'one') assert.equal(frame.messageId, messageId)
  }
  await Promise.all([first, second, third])
  assert.ok(order.indexOf('one') < order.indexOf('two'), order.join())
})

test('a refusal for good is not tried again', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const connection = await gateway.admit()
  const sent = client.send('alice', 'x', { messageId: 'm' })
  await connection.refuse(4231)
  await assert.rejects(sent, (error) => {
    assert.ok(error instanceof ClientError)
    const { code, number, retryable, outcome, messageId } = error
    assert.deepEqual(
      { code, number, retryable, outcome, messageId },
      { code: 'recipient_self', number: 4231, retryable: false, outcome: 'refused', messageId: 'm' },
    )
    return true
  })
})

test('at the deadline the error says whether the message may have been accepted', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  await assert.rejects(client.send('bob', 'x', { timeoutMs: 30 }), { code: 'send_timeout', outcome: 'not-sent' })
  const connection = await gateway.admit()
  await client.ready()
  const sent = client.send('bob', 'x', { timeoutMs: 1_000, messageId: 'm' })
  const { requestId } = await connection.next('send')
  await assert.rejects(sent, {
    code: 'send_timeout',
    outcome: 'unknown',
    messageId: 'm',
    message: /unknown.*same messageId/,
  })
  // An answer after the deadline disturbs nobody.
  connection.send({ type: 'accepted', requestId, seq: 1, sentAt: 1, duplicate: false })
  const next = client.send('bob', 'y')
  await connection.accept(2)
  assert.equal((await next).seq, 2)
})

test('the error of a send that found no gateway says why', async () => {
  await using gateway = await ScriptedGateway.start()
  gateway.stopListening()
  await using client = connect(buildOptions(gateway.url))
  await assert.rejects(client.send('bob', 'x', { timeoutMs: 2_000 }), { code: 'send_timeout', message: /ECONNREFUSED/ })
})

test('an aborted send stops waiting', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const controller = new AbortController()
  const sent = client.send('bob', 'x', { signal: controller.signal })
  const connection = await gateway.admit()
  await connection.next('send')
  controller.abort()
  await assert.rejects(sent, { code: 'aborted', outcome: 'unknown' })
  await assert.rejects(client.send('bob', 'x', { signal: controller.signal }), { code: 'aborted', outcome: 'not-sent' })
})

test('a transient message leaves at most once', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const first = await gateway.admit()
  const lost = client.send('bob', 'typing', { durable: false })
  assert.equal((await first.next('send')).durable, false)
  first.destroy()
  await assert.rejects(lost, { code: 'connection_lost', outcome: 'unknown' })
  const second = await gateway.admit()
  const refused = client.send('bob', 'typing', { durable: false })
  await second.refuse(4001)
  await assert.rejects(refused, { code: 'unavailable', outcome: 'refused', retryable: true })
  assert.deepEqual(second.waiting, [])
})

test('no more sends are in flight than may be, and the others follow in order', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { maxInFlight: 2, maxQueuedSends: 2 }))
  const connection = await gateway.admit()
  const sends = [1, 2, 3, 4].map((n) => client.send('bob', `${n}`))
  await assert.rejects(client.send('bob', '5'), { code: 'queue_full', outcome: 'not-sent', retryable: true })
  const first = await connection.next('send')
  await connection.next('send')
  await roundTrip(client, connection)
  assert.deepEqual(connection.waiting, [])
  connection.send({ type: 'accepted', requestId: first.requestId, seq: 1, sentAt: 1, duplicate: false })
  await sends[0]
  const third = await connection.next('send')
  assert.equal(text(third.payload), '3')
  const rejected = sends.slice(1).map((sent) => assert.rejects(sent, { code: 'closed' }))
  await Promise.all([client.close(), ...rejected])
})

test('waiting payloads are bounded in bytes', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { maxQueuedBytes: 100 }))
  const waiting = client.send('bob', 'x'.repeat(80))
  await assert.rejects(client.send('bob', 'x'.repeat(30)), { code: 'queue_full' })
  const connection = await gateway.admit()
  await connection.accept(1)
  await waiting
  const next = [client.send('bob', 'x'.repeat(30)), client.send('bob', 'x'.repeat(30))]
  await connection.accept(2)
  await connection.accept(3)
  await Promise.all(next)
})

test('a payload beyond what a frame may hold is refused here, and the connection stays', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const connection = await gateway.admit({ maxFrameBytes: 1_000 })
  await client.ready()
  await assert.rejects(client.send('bob', 'x'.repeat(1_000)), { code: 'payload_too_large', outcome: 'not-sent' })
  await assert.rejects(client.send('b'.repeat(70_000), 'x'), { code: 'option_invalid', outcome: 'not-sent' })
  const fine = client.send('bob', 'x')
  await connection.accept(1)
  await fine
})

test('the array of a payload may be used again at once', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const payload = new Uint8Array([1, 2, 3])
  const sent = client.send('bob', payload)
  payload.fill(9)
  const connection = await gateway.admit()
  assert.deepEqual([...(await connection.accept(1)).payload], [1, 2, 3])
  await sent
})

test('presence asks for any number of users, again over a new connection and when told to try again', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const userIds = Array.from({ length: 150 }, (_, n) => `u${n}`)
  const presence = client.presence(userIds)
  const first = await gateway.admit()
  const asked = await first.next('presence')
  assert.equal(asked.userIds.length, 100)
  first.destroy()
  const second = await gateway.admit()
  const again = await second.next('presence')
  second.send({ type: 'error', requestId: again.requestId, code: 4001, message: '' })
  const third = await second.next('presence')
  second.send({ type: 'presenceState', requestId: third.requestId, users: [{ userId: 'u3', clientTypes: [1, 2] }] })
  const rest = await second.next('presence')
  assert.deepEqual(rest.userIds, userIds.slice(100))
  second.send({ type: 'presenceState', requestId: rest.requestId, users: [] })
  const found = await presence
  assert.deepEqual([...found.keys()], userIds)
  assert.deepEqual(found.get('u3'), [1, 2])
  assert.deepEqual(found.get('u149'), [])
  await assert.rejects(client.presence(['bob'], { timeoutMs: 50 }), { code: 'request_timeout' })
})

test('an error that answers no request is an event', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const connection = await gateway.admit()
  connection.send({ type: 'error', requestId: 0, code: 4001, message: 'Redis is away' })
  assert.equal((await nextEvent(client, 'error')).message, 'Redis is away')
})
