import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Verdict } from './cut-off.ts'
import { Verdicts } from './verdicts.ts'

/** After verdicts that came one a second; a number is so many seconds of `unknown`. */
function judge(...steps: (Verdict | undefined | number)[]): Verdicts {
  const verdicts = new Verdicts()
  let now = 0
  const add = (verdict: Verdict | undefined) => verdicts.add(verdict, (now += 1_000))
  for (const step of steps) {
    if (typeof step !== 'number') add(step)
    else for (let at = 0; at < step; at++) add('unknown')
  }
  return verdicts
}

test('five times alone in a row is alone, also when nobody can be asked now and then', () => {
  assert.ok(!judge('alone', 'alone', 'alone', 'alone').alone)
  assert.ok(judge('alone', 'alone', 'alone', 'alone', 'alone').alone)
  assert.ok(judge('alone', 3, 'alone', 3, 'alone', 3, 'alone', 3, 'alone').alone)
  assert.ok(!judge('alone', 'alone', 'alone', 'alone', 'shared', 'alone').alone)
  assert.ok(!judge('alone', 'alone', 'alone', 'alone', undefined, 'alone').alone)
})

test('what was alone long ago does not count: the beginning of an outage and its end are two things', () => {
  assert.ok(!judge('alone', 'alone', 'alone', 'alone', 3_600, 'alone').alone)
  assert.ok(!judge('alone', 'alone', 'alone', 'alone', 'alone', 3_600).alone)
})

test('five times not alone is together again', () => {
  assert.ok(!judge('alone', 'shared', 'shared', undefined, undefined).together)
  assert.ok(judge('alone', 'shared', 'shared', 1, undefined, undefined, undefined).together)
  assert.ok(!judge('shared', 'shared', 'shared', 'shared', 'shared', 'alone').together)
})
