import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { RateLimit } from './rate-limit.ts'

/** A limit, and a clock that goes on when it is told to. */
function createLimit(perSecond: number): { limit: RateLimit; goOn: (ms: number) => void } & Disposable {
  let now = 1_000
  const clock = mock.method(performance, 'now', () => now)
  return {
    limit: new RateLimit(perSecond),
    goOn: (ms) => (now += ms),
    [Symbol.dispose]: () => clock.mock.restore(),
  }
}

function countFree(limit: RateLimit): number {
  let count = 0
  while (limit.take() === 0) count += 1
  return count
}

test('twice the rate is free at once, also after a long rest', () => {
  using bucket = createLimit(100)
  assert.equal(countFree(bucket.limit), 200)
  bucket.goOn(3_600_000)
  assert.equal(countFree(bucket.limit), 200)
})

test('what was used slowly is not saved up', () => {
  using bucket = createLimit(100)
  for (let second = 0; second < 100; second++) {
    assert.equal(bucket.limit.take(), 0)
    bucket.goOn(1_000)
  }
  assert.equal(countFree(bucket.limit), 200)
})

test('one who waits as told gets the rate, and no more', () => {
  using bucket = createLimit(100)
  countFree(bucket.limit)
  let [taken, waited] = [0, 0]
  while (waited < 10_000) {
    const wait = bucket.limit.take()
    taken += 1
    bucket.goOn(wait)
    waited += wait
  }
  assert.ok(taken >= 990 && taken <= 1_010, `${taken} in 10 s`)
})

test('the time to wait is in whole milliseconds', () => {
  using bucket = createLimit(3)
  countFree(bucket.limit)
  const wait = bucket.limit.take()
  assert.ok(Number.isInteger(wait) && wait >= 1 && wait <= 1_000, `${wait}`)
})
