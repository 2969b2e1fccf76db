import assert from 'node:assert/strict'
import { test } from 'node:test'
import { agreedSeq } from './epoch.ts'

const cases: [one: string, other: string, agreed: number | undefined, why: string][] = [
  ['a', 'a', Infinity, 'the same'],
  ['a', 'b', undefined, 'nothing in common'],
  ['a.5~b', 'a', 5, 'the one goes on from the other'],
  ['a.5~b.9~c', 'a', 5, 'over several cuts the first counts'],
  ['a.5~b.9~c', 'a.5~b', 9, ''],
  ['a.5~b', 'a.5~c', 5, 'two that go on from the same place'],
  ['a.5~b', 'a.7~c', 5, 'and from different places of one'],
  ['a.5~b.9~c', 'a.5~b.7~d', 7, ''],
  ['b.9~c', 'a.5~b', 9, 'the first part was dropped from a long path'],
  ['b.9~c', 'a.5~b.9~c', Infinity, 'and is the same for that'],
  ['b.9~c', 'a.2~d', undefined, ''],
  ['b.9~c', 'a', undefined, 'nothing tells that b came from a'],
  ['a.0~b', 'a', 0, 'nothing is left of what was there'],
  ['ltdUC2lSL8XV', 'ltdUC2lSL8XV.3~b', 3, 'epochs of 0.2.0 can be the first part'],
  ['', 'a', undefined, 'whatever a client sends'],
  ['a..~', 'a.x~b', Infinity, ''],
]

test('two epochs tell up to which seq they agree, either way round', () => {
  for (const [one, other, agreed, why] of cases) {
    assert.equal(agreedSeq(one, other), agreed, `${one} and ${other}: ${why}`)
    assert.equal(agreedSeq(other, one), agreed, `${other} and ${one}: ${why}`)
  }
})
