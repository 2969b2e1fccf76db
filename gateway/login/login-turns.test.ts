import assert from 'node:assert/strict'
import { afterEach, beforeEach, mock, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Metrics } from '../metrics.ts'
import { LoginTurns } from './login-turns.ts'

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))

afterEach(() => mock.timers.reset())

test('a few logins are worked on at once, the others in the order in which they came, whatever becomes of each', async () => {
  const metrics = new Metrics()
  const turns = new LoginTurns(metrics)
  const waiting = async () => (await metrics.waitingLogins.get()).values[0]?.value ?? 0
  const begun: number[] = []
  const work = Array.from({ length: 50 }, () => Promise.withResolvers<number>())
  const results = work.map(({ promise }, n) =>
    turns.run(() => {
      begun.push(n)
      return promise
    }),
  )
  const settled = Promise.allSettled(results)
  const atOnce = begun.length
  assert.ok(atOnce > 0 && atOnce < 50, `${atOnce} at once`)
  assert.equal(await waiting(), 50 - atOnce)

  work[3]?.resolve(3)
  work[5]?.reject(new Error('refused'))
  await nextTurn()
  assert.equal(begun.length, atOnce + 2)
  assert.equal(await waiting(), 48 - atOnce)

  for (const [n, { resolve }] of work.entries()) resolve(n)
  const fates = (await settled).map((result) => (result.status === 'fulfilled' ? result.value : -1))
  assert.deepEqual(
    fates,
    Array.from({ length: 50 }, (_, n) => (n === 5 ? -1 : n)),
  )
  assert.deepEqual(
    begun,
    Array.from({ length: 50 }, (_, n) => n),
  )
  // All turns have been given back.
  begun.length = 0
  await Promise.all(
    Array.from({ length: atOnce }, (_, n) =>
      turns.run(async () => {
        begun.push(n)
        await nextTurn()
        assert.equal(begun.length, atOnce)
      }),
    ),
  )
})

test('a login that takes long gives its turn on once, and the others come in before it ends', async () => {
  const turns = new LoginTurns(new Metrics())
  const work: PromiseWithResolvers<void>[] = []
  const settled: Promise<void>[] = []
  const begin = (): void => {
    settled.push(
      turns.run(() => {
        const one = Promise.withResolvers<void>()
        work.push(one)
        return one.promise
      }),
    )
  }
  for (let n = 0; n < 100; n++) begin()
  const atOnce = work.length
  mock.timers.tick(199)
  await nextTurn()
  assert.equal(work.length, atOnce)
  mock.timers.tick(1)
  await nextTurn()
  assert.equal(work.length, 2 * atOnce, 'all have given their turns on')

  // Those that have done so already have no second turn to give.
  for (const one of work.slice(0, atOnce)) one.resolve()
  await nextTurn()
  assert.equal(work.length, 2 * atOnce)
  work[atOnce]?.resolve()
  await nextTurn()
  assert.equal(work.length, 2 * atOnce + 1)
  // Neither by the time nor by the end twice.
  mock.timers.tick(200)
  await nextTurn()
  assert.equal(work.length, 3 * atOnce + 1)

  while (work.length < 100) {
    mock.timers.tick(200)
    await nextTurn()
  }
  for (const one of work) one.resolve()
  await Promise.all(settled)
  const begun = work.length
  for (let n = 0; n < 2 * atOnce; n++) begin()
  assert.equal(work.length, begun + atOnce, 'every turn has been given back, once')
})
