import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeyedLock } from './keyed-lock.ts'

test('calls with one key run in turn, also behind one that failed; other keys do not wait', async () => {
  const lock = new KeyedLock()
  const log: string[] = []
  const first = Promise.withResolvers<void>()
  const running = [
    lock.run('a', async () => {
      log.push('a1 begins')
      await first.promise
      log.push('a1 fails')
      throw new Error('on purpose')
    }),
    lock.run('a', async () => log.push('a2')),
    lock.run('b', async () => log.push('b')),
  ]
  await running[2]
  assert.deepEqual(log, ['a1 begins', 'b'])
  first.resolve()
  await assert.rejects(running[0] ?? Promise.resolve(), /on purpose/)
  await running[1]
  assert.deepEqual(log, ['a1 begins', 'b', 'a1 fails', 'a2'])
  assert.equal(lock.size, 0)
})
