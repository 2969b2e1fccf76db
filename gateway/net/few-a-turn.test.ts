import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createFewATurn } from './few-a-turn.ts'

test('some work is done at once, more in the turns that follow, in order', async () => {
  const few = createFewATurn(3)
  const done: number[] = []
  for (let n = 0; n < 8; n++) few(() => done.push(n))
  assert.deepEqual(done, [0, 1, 2])
  await nextTurn()
  assert.deepEqual(done, [0, 1, 2, 3, 4, 5])
  // What comes now is behind what waits.
  few(() => done.push(8))
  await nextTurn()
  assert.deepEqual(done, [0, 1, 2, 3, 4, 5, 6, 7, 8])
  await nextTurn()
  await nextTurn()
  few(() => done.push(9))
  assert.equal(done.at(-1), 9)
})
