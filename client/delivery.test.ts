import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Delivery } from './delivery.ts'
import { Message, type Gap } from './message.ts'
import { buildMessage } from './test-gateway.ts'

const limits = { maxQueuedMessages: 4, maxQueuedMessageBytes: 100, maxUnacked: 2 }

function setUp(manual: boolean) {
  const positions: (number | undefined)[] = []
  let rooms = 0
  const delivery = new Delivery(manual, limits, {
    gap() {},
    handled: () => void positions.push(delivery.position?.seq),
    room: () => void (rooms += 1),
  })
  delivery.begin({ epoch: 'e', seq: 0 })
  const offer = (seq: number, text = 'x') =>
    delivery.offer(new Message(buildMessage(seq, text), 'e', (message) => delivery.finish(message)))
  return { delivery, positions, offer, rooms: () => rooms }
}

test('messages wait for a consumer, and each for the one before it', async () => {
  const { delivery, offer, positions } = setUp(false)
  offer(1)
  offer(2)
  const handed: Message[] = []
  const steps = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  delivery.consume((message) => steps[handed.push(message) - 1]?.promise)
  assert.deepEqual(
    handed.map(({ seq }) => seq),
    [1],
  )
  steps[0]?.resolve()
  await steps[0]?.promise
  await new Promise(setImmediate)
  assert.deepEqual(
    handed.map(({ seq }) => seq),
    [1, 2],
  )
  assert.deepEqual(positions, [1])
})

test('what was acknowledged out of order counts up to the first hole', () => {
  const { delivery, offer } = setUp(true)
  const handed: Message[] = []
  delivery.consume((message) => void handed.push(message))
  offer(1)
  offer(2)
  handed[1]?.ack()
  assert.equal(delivery.position?.seq, 0)
  handed[0]?.ack()
  assert.equal(delivery.position?.seq, 2)
  handed[0]?.ack()
  assert.equal(delivery.position?.seq, 2)
})

test('no more are handed out while as many as may be are not acknowledged', () => {
  const { delivery, offer } = setUp(true)
  const handed: Message[] = []
  delivery.consume((message) => void handed.push(message))
  for (let seq = 1; seq <= 4; seq++) offer(seq)
  assert.equal(handed.length, 2)
  handed[0]?.ack()
  assert.equal(handed.length, 3)
})

test('what finds no room is refused by count and by bytes, and room is told once when half is free', () => {
  const { delivery, offer, rooms } = setUp(false)
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((seq) => offer(seq)),
    [true, true, true, true, false],
  )
  assert.equal(rooms(), 0)
  delivery.consume(() => {})
  assert.equal(rooms(), 1)
  delivery.consume(undefined)
  assert.ok(offer(5, 'x'.repeat(200)), 'one message is taken however large')
  assert.ok(!offer(6, 'x'))
})

test('a gap comes between the messages that it lies between, and its seqs count as handled', () => {
  const { delivery, offer } = setUp(true)
  const order: string[] = []
  const gap: Gap = { stream: 'inbox', epoch: 'e', fromSeq: 2, toSeq: 5, reason: 'trimmed' }
  let first: Message | undefined
  delivery.consume((message) => {
    first ??= message
    order.push(`${message.seq}`)
  })
  offer(1)
  delivery.offer(gap)
  offer(6)
  assert.deepEqual(order, ['1', '6'])
  assert.equal(delivery.position?.seq, 0)
  first?.ack()
  assert.equal(delivery.position?.seq, 5)
})

test('acknowledging a message of an epoch that is over changes nothing', () => {
  const { delivery, offer } = setUp(true)
  const handed: Message[] = []
  delivery.consume((message) => void handed.push(message))
  offer(1)
  delivery.offer({ stream: 'inbox', epoch: 'f', fromSeq: 0, toSeq: 0, reason: 'reset' })
  handed[0]?.ack()
  assert.deepEqual(delivery.position, { epoch: 'f', seq: 0 })
})

test('what is handed out when the stream gets another name can still be acknowledged', () => {
  const { delivery, offer } = setUp(true)
  const handed: Message[] = []
  delivery.consume((message) => void handed.push(message))
  offer(1)
  delivery.offer({ renamedTo: 'f' })
  assert.deepEqual(delivery.position, { epoch: 'f', seq: 0 })
  handed[0]?.ack()
  assert.deepEqual(delivery.position, { epoch: 'f', seq: 1 })
})
