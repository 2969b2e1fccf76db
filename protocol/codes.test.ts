import assert from 'node:assert/strict'
import { test } from 'node:test'
import { adviceOf, codeName, codeNames, codes } from './codes.ts'
import { ProtocolError } from './errors.ts'

test('every code has a number of its own in the range of applications', () => {
  const numbers = codeNames.map((name) => codes[name].code)
  assert.equal(new Set(numbers).size, codeNames.length)
  for (const number of numbers) assert.ok(number >= 4000 && number <= 4999, `${number}`)
})

test('codes stand in the order of their numbers', () => {
  const numbers = codeNames.map((name) => codes[name].code)
  assert.deepEqual(
    numbers,
    numbers.toSorted((a, b) => a - b),
  )
})

test('a name fits the reason of a WebSocket close frame', () => {
  for (const name of codeNames) assert.match(name, /^[a-z0-9_]{1,123}$/)
})

test('a number leads back to its name', () => {
  for (const name of codeNames) assert.equal(codeName(codes[name].code), name)
  assert.equal(codeName(4099), undefined)
  assert.equal(codeName(1006), undefined)
})

test('the range of a number says what to do, known or not', () => {
  const advice = {
    reconnect: [1000, 1006, 3999, 4000, 4099, 5000],
    'reconnect-elsewhere': [4100, 4199],
    'do-not-reconnect': [1002, 1007, 1009, 4200, 4229, 4230, 4299, 4300, 4999],
  }
  for (const [expected, numbers] of Object.entries(advice)) {
    for (const number of numbers) assert.equal(adviceOf(number), expected, `${number}`)
  }
})

test('an error carries its number, the message of the table, and whether to retry', () => {
  const busy = new ProtocolError('unavailable')
  assert.deepEqual([busy.number, busy.message, busy.retryable], [4001, codes.unavailable.message, true])
  assert.equal(new ProtocolError('too_many_connections').retryable, true)
  const wrong = new ProtocolError('frame_malformed', 'ack.seq must be an integer')
  assert.deepEqual([wrong.number, wrong.message, wrong.retryable], [4200, 'ack.seq must be an integer', false])
})
