import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Metrics } from '../metrics.ts'
import { LoginTurns } from './login-turns.ts'

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
