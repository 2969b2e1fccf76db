import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, test } from 'node:test'
import { Deadline, orAbort, pause, startTimer } from './timing.ts'
import { TokenBucket } from './token-bucket.ts'

describe('a deadline', () => {
  test('aborts its signal with an error that names what took too long', async () => {
    using deadline = new Deadline(10, undefined, 'the call')
    await assert.rejects(orAbort(Promise.withResolvers().promise, deadline.signal), {
      code: 'DEADLINE_EXCEEDED',
      message: 'the call took longer than 10 ms',
      retryable: true,
    })
    assert.ok(deadline.expired)
    assert.equal(deadline.remainingMs, 0)
  })

  test('passes on the abort of its parent, also of one that was aborted before', () => {
    const parent = new AbortController()
    using deadline = new Deadline(60_000, parent.signal)
    parent.abort(new Error('stopped'))
    using late = new Deadline(60_000, parent.signal)
    for (const { signal, expired } of [deadline, late]) {
      assert.equal((signal.reason as Error).message, 'stopped')
      assert.ok(!expired)
    }
  })

  test('leaves no listener on its parent', async () => {
    const parent = new AbortController()
    for (let i = 0; i < 3; i += 1) {
      using deadline = new Deadline(60_000, parent.signal)
      assert.equal(await orAbort(Promise.resolve(i), deadline.signal), i)
      assert.equal(getEventListeners(deadline.signal, 'abort').length, 0)
      await pause(0, parent.signal)
    }
    assert.equal(getEventListeners(parent.signal, 'abort').length, 0)
  })
})

test('a pause ends with its time, or at once with its signal', async () => {
  const stop = new AbortController()
  assert.equal(await pause(1, stop.signal), true)
  const long = pause(60_000, stop.signal)
  stop.abort()
  assert.equal(await long, false)
  assert.equal(await pause(60_000, stop.signal), false)
})

test('a timer longer than JavaScript can hold does not fire at once', async () => {
  let fired = false
  const timer = startTimer(2 ** 40, () => {
    fired = true
  })
  await pause(20, new AbortController().signal)
  clearTimeout(timer)
  assert.ok(!fired)
})

test('a token bucket lets a burst through, then its rate, and gives back what was not waited for', async () => {
  const started = performance.now()
  const bucket = new TokenBucket(2, 2)
  const stop = new AbortController()
  assert.deepEqual([bucket.tryTake(), bucket.tryTake(), bucket.tryTake()], [true, true, false])
  const given = Array.from({ length: 400 }, () => bucket.take(stop.signal).catch(() => 'gave up'))
  stop.abort()
  assert.deepEqual(new Set(await Promise.all(given)), new Set(['gave up']))
  await bucket.take(new AbortController().signal)
  const waited = performance.now() - started
  assert.ok(waited > 450 && waited < 10_000, `waited ${waited} ms`)
})
