import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect, type Message } from './index.ts'
import { buildLoggedIn, buildMessage, ScriptedGateway } from './test-gateway.ts'
import { buildOptions, Collector, nextEvent, roundTrip } from './test-kit.ts'

for (const kind of ['tcp', 'ws'] as const) {
  test(`over ${kind} messages that come with the answer to the login are not missed`, async () => {
    await using gateway = await ScriptedGateway.start(kind)
    await using client = connect(buildOptions(gateway.url))
    const collector = new Collector(client)
    const connection = await gateway.connection()
    const login = await connection.next('login')
    connection.send(buildLoggedIn(login, { seq: 4 }), buildMessage(5), buildMessage(6))
    assert.deepEqual(await collector.until(2), ['m5', 'm6'])
    assert.equal((await connection.next('ack')).seq, 6)
    assert.deepEqual(client.cursor, { epoch: 'e1', seq: 6 })
  })
}

test('across connections every message comes once and in order', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const collector = new Collector(client)
  const first = await gateway.admit()
  first.message(1)
  first.message(2)
  await collector.until(2)
  first.destroy()
  const second = await gateway.admit()
  assert.deepEqual([second.login.epoch, second.login.seq], ['e1', 2])
  for (const seq of [1, 2, 3]) second.message(seq)
  await collector.until(3)
  assert.deepEqual(collector.seqs, [1, 2, 3])
})

test('acknowledgements are cumulative, come after the listener is done, and are repeated on a new connection', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { ackDelayMs: 1 }))
  const steps: (() => void)[] = []
  client.on('message', () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    steps.push(resolve)
    return promise
  })
  const first = await gateway.admit()
  for (const seq of [1, 2, 3]) first.message(seq)
  while (steps.length < 1) await new Promise(setImmediate)
  steps[0]?.()
  assert.equal((await first.next('ack')).seq, 1)
  while (steps.length < 2) await new Promise(setImmediate)
  assert.deepEqual(first.waiting, [])
  first.destroy()
  const second = await gateway.admit()
  // The login names what was received; what was handled is less.
  assert.equal(second.login.seq, 3)
  assert.equal((await second.next('ack')).seq, 1)
  steps[1]?.()
  while (steps.length < 3) await new Promise(setImmediate)
  steps[2]?.()
  for (let seq = 0; seq < 3;) seq = (await second.next('ack')).seq
})

test('many messages share an acknowledgement', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { ackDelayMs: 60_000 }))
  client.on('message', () => {})
  const connection = await gateway.admit()
  connection.send(...Array.from({ length: 130 }, (_, n) => buildMessage(n + 1)))
  assert.equal((await connection.next('ack')).seq, 64)
  assert.equal((await connection.next('ack')).seq, 128)
  await client.close()
  assert.equal((await connection.next('ack')).seq, 130)
})

test('closing in the listener acknowledges the message that it is about', async () => {
  await using gateway = await ScriptedGateway.start('ws')
  const client = connect(buildOptions(gateway.url, { ackDelayMs: 60_000 }))
  client.on('message', () => void client.close())
  const connection = await gateway.admit()
  connection.send(buildMessage(1), buildMessage(2))
  assert.equal((await connection.next('ack')).seq, 1)
  await client.closed
  await connection.closed
  assert.deepEqual(client.cursor, { epoch: 'e1', seq: 1 })
})

test('by hand, what was not acknowledged comes again to the next client of the device', async () => {
  await using gateway = await ScriptedGateway.start()
  const client = connect(buildOptions(gateway.url, { ack: 'manual' }))
  const messages: Message[] = []
  client.on('message', (message) => void messages.push(message))
  const connection = await gateway.admit()
  connection.send(buildMessage(1), buildMessage(2), buildMessage(3))
  while (messages.length < 3) await new Promise(setImmediate)
  messages[1]?.ack()
  messages[0]?.ack()
  const { cursor } = client
  await client.close()
  assert.equal((await connection.next('ack')).seq, 2)
  await using later = connect(buildOptions(gateway.url, { cursor }))
  const { login } = await gateway.admit()
  assert.deepEqual([login.epoch, login.seq], ['e1', 2])
  await later.ready()
})

test('without acknowledgements none is sent, and the cursor moves all the same', async () => {
  await using gateway = await ScriptedGateway.start()
  const client = connect(buildOptions(gateway.url, { ack: 'none', ackDelayMs: 1 }))
  const collector = new Collector(client)
  const connection = await gateway.admit()
  connection.message(1)
  await collector.until(1)
  await client.close()
  await connection.closed
  assert.deepEqual(connection.waiting, [])
  assert.equal(client.cursor?.seq, 1)
})

test('a listener that fails is reported, and its message counts as handled', async () => {
  await using gateway = await ScriptedGateway.start()
  const client = connect(buildOptions(gateway.url))
  const errors: unknown[] = []
  client.on('error', (error) => void errors.push(error.message))
  client.on('message', ({ seq }) => {
    if (seq === 1) throw new Error('sync')
    return Promise.reject(new Error('async'))
  })
  const connection = await gateway.admit()
  connection.send(buildMessage(1), buildMessage(2))
  for (let seq = 0; seq < 2;) seq = (await connection.next('ack')).seq
  assert.deepEqual(errors, ['sync', 'async'])
  await client.close()
})

test('a gap is told between the messages that it lies between', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { ackDelayMs: 1 }))
  const order: string[] = []
  client.on('message', ({ seq, epoch }) => void order.push(`${epoch}/${seq}`))
  client.on('gap', ({ reason, fromSeq, toSeq, epoch }) => void order.push(`${reason} ${epoch}/${fromSeq}-${toSeq}`))
  const connection = await gateway.admit()
  const gap = { type: 'gap', stream: 'inbox' } as const
  connection.send(
    buildMessage(1),
    { ...gap, epoch: 'e1', fromSeq: 2, toSeq: 4, reason: 'trimmed' },
    buildMessage(5),
    { ...gap, epoch: 'e2', fromSeq: 0, toSeq: 0, reason: 'reset' },
    buildMessage(1),
  )
  await nextEvent(client, 'message', ({ epoch }) => epoch === 'e2')
  assert.deepEqual(order, ['e1/1', 'trimmed e1/2-4', 'e1/5', 'reset e2/0-0', 'e2/1'])
  assert.equal((await connection.next('ack')).seq, 1)
  connection.destroy()
  const { login } = await gateway.admit()
  assert.deepEqual([login.epoch, login.seq], ['e2', 1])
})

test('an application that falls behind loses nothing: the rest is fetched again when it has caught up', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url, { maxQueuedMessages: 4 }))
  const first = await gateway.admit()
  first.send(...Array.from({ length: 20 }, (_, n) => buildMessage(n + 1)))
  await roundTrip(client, first)
  const collector = new Collector(client)
  const second = await gateway.admit()
  assert.equal(second.login.seq, 4)
  assert.ok(first.open, 'the new connection comes first')
  for (let seq = 5; seq <= 8; seq++) second.message(seq)
  await collector.until(8)
  assert.deepEqual(collector.seqs, [1, 2, 3, 4, 5, 6, 7, 8])
  await first.closed
})

test('a gateway that leaves out a message is left for another connection', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const collector = new Collector(client)
  const first = await gateway.admit()
  first.message(1)
  first.message(3)
  const second = await gateway.admit()
  assert.equal(second.login.seq, 1)
  second.message(2)
  second.message(3)
  assert.deepEqual(await collector.until(3), ['m1', 'm2', 'm3'])
})

test('the iterator gives one message at a time and acknowledges it when the next is asked for', async () => {
  await using gateway = await ScriptedGateway.start()
  const client = connect(buildOptions(gateway.url, { ackDelayMs: 1 }))
  const messages = client.messages()
  assert.throws(() => client.on('message', () => {}), { code: 'consumer_taken' })
  assert.throws(() => client.messages(), { code: 'consumer_taken' })
  const connection = await gateway.admit()
  connection.send(buildMessage(1), buildMessage(2), buildMessage(3))
  assert.equal((await messages.next()).value?.seq, 1)
  assert.equal(client.cursor?.seq, 0)
  const second = (await messages.next()).value
  assert.equal((await connection.next('ack')).seq, 1)
  await messages.return()
  assert.equal(client.cursor?.seq, 1)
  second?.ack()
  assert.equal(client.cursor?.seq, 2)
  const collector = new Collector(client)
  assert.deepEqual(await collector.until(1), ['m3'])
  await client.close()
})

test('the iterator ends with the client, and throws what a gateway ended it with', async () => {
  await using gateway = await ScriptedGateway.start()
  const closing = connect(buildOptions(gateway.url))
  const connection = await gateway.admit()
  connection.message(1)
  const seen: number[] = []
  for await (const { seq } of closing.messages()) {
    seen.push(seq)
    await closing.close()
  }
  assert.deepEqual(seen, [1])
  await using ended = connect(buildOptions(gateway.url))
  const next = ended.messages().next()
  ;(await gateway.admit()).close(4215)
  await assert.rejects(next, { code: 'displaced' })
})

test('notices of other devices are handed on, those of its own hand-over are not', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  const notices: unknown[] = []
  client.on('notice', (notice) => void notices.push(notice))
  const connection = await gateway.admit()
  connection.send({ type: 'notice', event: 'joined', clientType: 1, imei: 'phone-1' })
  connection.send({ type: 'notice', event: 'left', clientType: 2, imei: 'other' })
  await nextEvent(client, 'notice')
  assert.deepEqual(notices, [{ event: 'left', clientType: 2, imei: 'other' }])
})
