import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { decodeJsonRecords, encodeJsonRecord, type JsonRecord } from './json-records.ts'

const text = fc.string({ unit: 'binary', maxLength: 40 })
const user = { appId: fc.nat(), userId: text }
const tried = fc.array(text, { maxLength: 5 })
const record: fc.Arbitrary<JsonRecord> = fc.oneof(
  fc.record({ type: fc.constant('push' as const), ...user, epoch: text, seq: fc.integer({ min: 1 }) }),
  fc.record({ type: fc.constant('head' as const), ...user, epoch: text, seq: fc.integer({ min: 1 }) }),
  fc.record({ type: fc.constant('transient' as const), ...user, origin: text, tried }),
  fc.record({ type: fc.constant('notHere' as const), ...user, tried }),
  fc.record({ type: fc.constant('notice' as const), ...user, connectionId: text }),
  fc.record({
    type: fc.constant('evict' as const),
    connectionId: text,
    code: fc.constantFrom('replaced' as const, 'displaced' as const),
    clientType: fc.nat({ max: 255 }),
  }),
  fc.record({ type: fc.constant('sync' as const) }),
  fc.record({ type: fc.constant('probe' as const), nonce: text }),
)
const item = fc.tuple(record, fc.uint8Array({ maxLength: 100 }))

/** As objects with the usual prototype, and frames as plain arrays. */
function plain(items: Iterable<readonly [JsonRecord, Uint8Array]>): unknown[] {
  return [...items].map(([record, frame]) => [{ ...record }, [...frame]])
}

test('records come out as they went in, in order, however many share a message', () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 5 }), (items) => {
      const bytes = Buffer.concat(items.map(([record, frame]) => encodeJsonRecord(record, frame)))
      assert.deepEqual(plain(decodeJsonRecords(bytes)), plain(items))
    }),
    { numRuns: 500 },
  )
})

test('a message cut short gives the whole records in it, then an error', () => {
  fc.assert(
    fc.property(item, item, fc.nat(), ([first, frame], [second, lastFrame], cut) => {
      const head = encodeJsonRecord(first, frame)
      const tail = encodeJsonRecord(second, lastFrame)
      const records = decodeJsonRecords(Buffer.concat([head, tail.subarray(0, 1 + (cut % (tail.length - 1)))]))
      assert.deepEqual({ ...records.next().value?.[0] }, { ...first })
      assert.throws(() => records.next(), Error)
    }),
    { numRuns: 200 },
  )
})

test('mutated bytes and garbage end in an error or in records that are well formed', () => {
  const mutation = fc.tuple(fc.nat(), fc.nat({ max: 255 }))
  const mutated = fc
    .tuple(fc.array(item, { minLength: 1, maxLength: 3 }), fc.array(mutation, { minLength: 1, maxLength: 4 }))
    .map(([items, mutations]) => {
      const bytes = Buffer.concat(items.map(([record, frame]) => encodeJsonRecord(record, frame)))
      for (const [at, value] of mutations) bytes[at % bytes.length] = value
      return bytes
    })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      try {
        for (const [record, frame] of decodeJsonRecords(bytes)) {
          // What was decoded can be encoded again: nothing in it is missing or of another type.
          assert.deepEqual(plain(decodeJsonRecords(encodeJsonRecord(record, frame))), plain([[record, frame]]))
        }
      } catch (error) {
        assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), String(error))
      }
    }),
    { numRuns: 5_000 },
  )
})

test('records of a later version are refused, not guessed', () => {
  const bytes = encodeJsonRecord({ type: 'sync' })
  const unknown = Buffer.from(bytes.toString('latin1').replace('sync', 'sing'), 'latin1')
  assert.throws(() => [...decodeJsonRecords(unknown)])
})
