import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Backoff } from './backoff.ts'

test('a wait is anything up to the base, doubled each time, up to the cap', () => {
  const longest = new Backoff(200, 20_000, () => 0.999_999)
  assert.deepEqual(
    Array.from({ length: 9 }, () => longest.next()),
    [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 20_000, 20_000],
  )
  const shortest = new Backoff(200, 20_000, () => 0)
  assert.deepEqual([shortest.next(), shortest.next()], [0, 0])
})

test('it stays at the cap however often it is asked, and begins anew after a reset', () => {
  const backoff = new Backoff(200, 20_000, () => 0.999_999)
  for (let n = 0; n < 2_000; n++) backoff.next()
  assert.equal(backoff.next(), 20_000)
  backoff.reset()
  assert.equal(backoff.next(), 200)
})
