import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findPlaces, findProcesses, type Place } from './bus-record.ts'

const place = (brokerId: string, incarnation: string): Place => ({ brokerId, incarnation })

for (const find of [findPlaces, findProcesses]) {
  test(`${find.name}: each broker is sent to once, and the own one not at all`, () => {
    const [a, b] = [place('a', '1'), place('b', '2')]
    assert.deepEqual(find([], 'a'), [])
    assert.deepEqual(find([a], 'a'), [])
    assert.deepEqual(find([a], 'b'), [a])
    assert.deepEqual(find([a, b, a], 'c'), [a, b])
    assert.deepEqual(find([a, b, a], 'a'), [b])
  })

  test(`${find.name}: of two processes of one broker, one of which reads JSON alone, both are sent that`, () => {
    const sessions = ['pod/b1-1', 'pod/3fb1-2', 'pod/b1-1'].map((incarnation) => place('a', incarnation))
    assert.deepEqual(find(sessions, 'b'), [place('a', '')])
  })
}

test('two processes of one broker that read binary are both sent what is missed, and one of them what may be lost', () => {
  const [dead, living, other] = [place('a', 'pod/b1-1'), place('a', 'pod/b1-2'), place('c', 'pod/b1-3')]
  const sessions = [dead, other, living, dead]
  assert.deepEqual(findProcesses(sessions, 'b'), [dead, living, other])
  assert.deepEqual(findPlaces(sessions, 'b'), [dead, other])
})
