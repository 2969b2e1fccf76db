import assert from 'node:assert/strict'
import { afterEach, beforeEach, mock, test } from 'node:test'
import { DeadlineWheel, NOWHERE, type Timed } from './deadline-wheel.ts'

/** A wheel's tick. */
const LATE_MS = 100
let now: number

beforeEach(() => {
  now = 1_234.5
  mock.timers.enable({ apis: ['setInterval'] })
  mock.method(performance, 'now', () => now)
})
afterEach(() => {
  mock.timers.reset()
  mock.restoreAll()
})

/** Lets time pass, in small steps. */
function pass(ms: number): void {
  for (const end = now + ms; now < end;) {
    now += 10
    mock.timers.tick(10)
  }
}

/** Notes when it is asked, and answers with what it was given. */
function createItem(again: (at: number) => number = () => Infinity): Timed & { readonly asked: number[] } {
  const asked: number[] = []
  return {
    wheelSlot: NOWHERE,
    asked,
    due(at) {
      asked.push(at)
      return again(at)
    },
  }
}

function assertAsked({ asked }: { asked: readonly number[] }, times: readonly number[]): void {
  assert.equal(asked.length, times.length)
  for (const [index, time] of times.entries()) {
    const late = (asked[index] ?? 0) - time
    assert.ok(late >= 0 && late <= LATE_MS + 10, `asked ${late} ms after its time`)
  }
}

test('each is asked at its time, once', () => {
  const wheel = new DeadlineWheel()
  const times = [1, 99, 100, 101, 5_000, 20_000].map((ms) => now + ms)
  const items = times.map((time) => {
    const item = createItem()
    wheel.schedule(item, time)
    return item
  })
  pass(60_000)
  for (const [index, item] of items.entries()) assertAsked(item, [times[index] ?? 0])
})

test('who answers with a later time is asked again then', () => {
  const wheel = new DeadlineWheel()
  const start = now
  const item = createItem((at) => (at < start + 3_000 ? start + 3_000 : Infinity))
  wheel.schedule(item, start + 1_000)
  pass(10_000)
  assertAsked(item, [start + 1_000, start + 3_000])
})

test('a time beyond the wheel comes as well, and is asked for early', () => {
  const wheel = new DeadlineWheel()
  const end = now + 90_000
  const item = createItem((at) => (at < end ? end : Infinity))
  wheel.schedule(item, end)
  pass(100_000)
  assertAsked({ asked: item.asked.slice(-1) }, [end])
  assert.ok(item.asked.length < 10)
})

test('an earlier time counts, a later one does not', () => {
  const wheel = new DeadlineWheel()
  const start = now
  const item = createItem()
  for (const ms of [5_000, 2_000, 8_000]) wheel.schedule(item, start + ms)
  pass(10_000)
  assertAsked(item, [start + 2_000])
})

test('who was removed is not asked, also by one asked just before', () => {
  const wheel = new DeadlineWheel()
  const [first, other] = [createItem(), createItem()]
  const remover = createItem(() => {
    wheel.remove(other)
    return Infinity
  })
  for (const item of [first, remover, other]) wheel.schedule(item, now + 1_000)
  wheel.remove(first)
  pass(2_000)
  assert.deepEqual([first.asked.length, remover.asked.length, other.asked.length], [0, 1, 0])
  // And the wheel goes on.
  const start = now
  wheel.schedule(first, start + 500)
  pass(1_000)
  assertAsked(first, [start + 500])
})

test('after the process stood still all whose time has come are asked, and the others later', () => {
  const wheel = new DeadlineWheel()
  const [soon, late] = [createItem(), createItem((at) => (at < 200_000 ? 200_000 : Infinity))]
  wheel.schedule(soon, now + 1_000)
  wheel.schedule(late, 200_000)
  pass(500)
  now += 120_000
  pass(200)
  assert.equal(soon.asked.length, 1)
  pass(100_000)
  assertAsked({ asked: late.asked.slice(-1) }, [200_000])
})
