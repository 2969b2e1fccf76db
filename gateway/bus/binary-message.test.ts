import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  boundOf,
  buildRoute,
  encodeHead,
  isBinaryMessage,
  readHead,
  readRecords,
  writeRecord,
} from './binary-message.ts'
import { MAX_TRIED, type BusRecord } from './bus-record.ts'
import { ByteWriter } from './byte-writer.ts'
import { encodeJsonRecord } from './json-records.ts'

const text = fc.string({ unit: 'binary', maxLength: 40 })
const user = { appId: fc.nat({ max: 0xffff_ffff }), userId: text }
const tried = fc.array(text, { maxLength: 5 })
const seq = fc.integer({ min: 1, max: 2 ** 48 - 1 })
const evict = {
  type: fc.constant('evict' as const),
  connectionId: text,
  code: fc.constantFrom('replaced' as const, 'displaced' as const),
  clientType: fc.nat({ max: 255 }),
}
const record: fc.Arbitrary<BusRecord> = fc.oneof(
  fc.record({ type: fc.constantFrom('push' as const, 'head' as const), ...user, epoch: text, seq }),
  fc.record({ type: fc.constantFrom('transient' as const, 'notHere' as const), ...user, tried }),
  fc.record({ type: fc.constant('notice' as const), ...user, connectionId: text }),
  fc.record(evict),
  fc.record({ ...evict, maxDevices: fc.integer({ min: 1, max: 100 }) }),
)
const item = fc.tuple(record, fc.uint8Array({ maxLength: 2_000 }))
type Item = readonly [BusRecord, Uint8Array]

const route = buildRoute('b1-receiver', 'im-0', 'b1-sender')

function encode(items: readonly Item[]): Buffer {
  const writer = new ByteWriter()
  writer.bytes(encodeHead(route, 1))
  for (const [record, frame] of items) writeRecord(writer, record, frame)
  return writer.take()
}

/** With frames as plain arrays, and no frame of an evict, which has none. */
function decode(bytes: Buffer, items: unknown[] = []): unknown[] {
  readRecords(bytes, readHead(bytes).end, (record, frame) => items.push([record, [...frame]]))
  return items
}

function plain(items: readonly Item[]): unknown[] {
  return items.map(([record, frame]) => [{ ...record }, record.type === 'evict' ? [] : [...frame]])
}

test('records come out as they went in, in order, however many share a message', () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 5 }), (items) => {
      assert.deepEqual(decode(encode(items)), plain(items))
    }),
    { numRuns: 500 },
  )
})

test('the head says who sent it, to which process, and which message it is', () => {
  const bytes = encodeHead(route, 2 ** 48 - 1)
  assert.ok(isBinaryMessage(bytes))
  assert.deepEqual(readHead(bytes), {
    number: 2 ** 48 - 1,
    route: 'b1-receiver/im-0/b1-sender',
    end: bytes.length,
  })
  assert.deepEqual(decode(bytes), [])
})

test('a message with JSON is told from one of this form', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), (frame) => {
      const push = { type: 'push', appId: 1, userId: 'u'.repeat(60_000), epoch: 'e', seq: 1 } as const
      assert.ok(!isBinaryMessage(encodeJsonRecord(push, frame)))
    }),
    { numRuns: 20 },
  )
})

test('the bound of a record is never less than what it takes', () => {
  fc.assert(
    fc.property(record, (record) => {
      const writer = new ByteWriter()
      writeRecord(writer, record)
      assert.ok(writer.length <= boundOf(record), `${writer.length} bytes, bound ${boundOf(record)}`)
    }),
    { numRuns: 500 },
  )
})

test('a message cut short gives the whole records in it, then an error', () => {
  fc.assert(
    fc.property(item, item, fc.nat(), (first, second, cut) => {
      const whole = encode([first]).length
      const bytes = encode([first, second])
      const items: unknown[] = []
      assert.throws(() => decode(bytes.subarray(0, whole + 1 + (cut % (bytes.length - whole - 1))), items), Error)
      assert.deepEqual(items, plain([first]))
    }),
    { numRuns: 200 },
  )
})

test('mutated bytes and garbage end in an error or in records that are well formed', () => {
  const mutation = fc.tuple(fc.nat(), fc.nat({ max: 255 }))
  const mutated = fc
    .tuple(fc.array(item, { minLength: 1, maxLength: 3 }), fc.array(mutation, { minLength: 1, maxLength: 4 }))
    .map(([items, mutations]) => {
      const bytes = encode(items)
      for (const [at, value] of mutations) bytes[at % bytes.length] = value
      return bytes
    })
  fc.assert(
    fc.property(
      fc.oneof(
        mutated,
        fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      ),
      (bytes) => {
        const items: Item[] = []
        try {
          readRecords(bytes, readHead(bytes).end, (record, frame) => items.push([record, frame]))
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error))
        }
        // What was decoded can be encoded again: nothing in it is missing or of another type.
        assert.deepEqual(decode(encode(items)), plain(items))
      },
    ),
    { numRuns: 5_000 },
  )
})

test('records of a later version are refused, not guessed', () => {
  const bytes = encode([[{ type: 'evict', connectionId: 'c', code: 'replaced', clientType: 1 }, new Uint8Array()]])
  bytes[readHead(bytes).end] = 7
  assert.throws(() => decode(bytes), /unknown type/)
})

test('what would take more memory than any message of a gateway is refused: a long route, and many tried brokers', () => {
  assert.equal(readHead(encodeHead('r'.repeat(1_024), 1)).route.length, 1_024)
  assert.throws(() => readHead(encodeHead('r'.repeat(1_025), 1)), /too long/)
  const tried = (count: number) => Array.from({ length: count }, (_, at) => `im-${at}`)
  const transient = (count: number): Item => [
    { type: 'transient', appId: 1, userId: 'bob', tried: tried(count) },
    new Uint8Array(),
  ]
  assert.deepEqual(decode(encode([transient(MAX_TRIED)])), plain([transient(MAX_TRIED)]))
  assert.throws(() => decode(encode([transient(MAX_TRIED + 1)])), /too many/)
})
