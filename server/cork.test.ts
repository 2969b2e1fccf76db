import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { test } from 'node:test'
import { atEndOfTurn, corkForTurn, uncorkMuch } from './cork.ts'

/** A stream that notes how many chunks each write of it had. */
function createStream(): { stream: Writable; writes: number[] } {
  const writes: number[] = []
  const stream = new Writable({
    write: (_chunk, _encoding, done) => {
      writes.push(1)
      done()
    },
    writev: (chunks, done) => {
      writes.push(chunks.length)
      done()
    },
  })
  return { stream, writes }
}

function write({ stream }: { stream: Writable }, chunk: string): void {
  corkForTurn(stream)
  stream.write(chunk)
  uncorkMuch(stream)
}

test('what is written within one turn goes out together, each stream’s for itself', async () => {
  const [one, other] = [createStream(), createStream()]
  for (const chunk of ['a', 'b', 'c']) write(one, chunk)
  write(other, 'd')
  assert.deepEqual([one.writes, other.writes], [[], []])
  await nextTurn()
  assert.deepEqual([one.writes, other.writes], [[3], [1]])
  write(one, 'e')
  await nextTurn()
  assert.deepEqual(one.writes, [3, 1], 'and it goes on with the next turn')
})

test('work for the end of a turn is done before, and what it writes goes out with the rest', async () => {
  const one = createStream()
  const done: string[] = []
  atEndOfTurn(() => {
    done.push('first')
    write(one, 'b')
    atEndOfTurn(() => {
      done.push('third')
      write(one, 'c')
    })
  })
  atEndOfTurn(() => done.push('second'))
  write(one, 'a')
  assert.equal(done.length, 0)
  await nextTurn()
  assert.deepEqual([done, one.writes], [['first', 'second', 'third'], [3]])
  atEndOfTurn(() => done.push('next turn'))
  await nextTurn()
  assert.equal(done.at(-1), 'next turn')
})

test('much is not held back', async () => {
  const one = createStream()
  write(one, 'a')
  write(one, 'x'.repeat(20_000))
  assert.deepEqual(one.writes, [2])
  for (const chunk of ['b', 'c']) write(one, chunk)
  await nextTurn()
  assert.deepEqual(one.writes, [2, 2])
})

test('a stream that ends, or is destroyed, before the turn has ended harms no other', async () => {
  const [ended, destroyed, other] = [createStream(), createStream(), createStream()]
  for (const it of [ended, destroyed, other]) write(it, 'a')
  ended.stream.end('b')
  destroyed.stream.destroy()
  await nextTurn()
  assert.deepEqual([ended.writes, destroyed.writes, other.writes], [[2], [], [1]])
})
