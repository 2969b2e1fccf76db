import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isClientFrame } from './direction.ts'
import { frameFrom, frameSpecs } from './schema.ts'

test('every frame type has an id of its own in a byte', () => {
  const ids = frameSpecs.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  for (const id of ids) assert.ok(Number.isInteger(id) && id > 0 && id <= 0xff)
})

test('the id tells who sends a frame: below 0x10 a client, below 0x40 both, from there a gateway', () => {
  for (const { type, id, from } of frameSpecs) {
    assert.equal(from, id < 0x10 ? 'client' : id < 0x40 ? 'both' : 'gateway', type)
  }
})

test('a frame is recognised by the side that may send it', () => {
  const sides = frameSpecs.map(({ type }) => {
    const frame = frameFrom({ type })
    return [type, isClientFrame(frame)]
  })
  assert.deepEqual(
    sides,
    frameSpecs.map(({ type, from }) => [type, from !== 'gateway']),
  )
})
