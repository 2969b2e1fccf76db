import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findCondition, setCondition, type ConditionState } from './conditions.ts'

const notReady: ConditionState = {
  type: 'Ready',
  status: 'False',
  reason: 'WaitingForRedis',
  message: 'Redis does not answer',
  observedGeneration: 1,
}
const first = new Date('2026-01-02T03:04:05.678Z')
const later = new Date('2026-01-02T04:00:00.000Z')

describe('setCondition', () => {
  it('adds a condition with the time in whole seconds', () => {
    assert.deepEqual(setCondition([], notReady, first), [{ ...notReady, lastTransitionTime: '2026-01-02T03:04:05Z' }])
  })

  it('keeps the time of the last transition while the status stays, whatever else changes', () => {
    const before = setCondition([], notReady, first)
    const after = setCondition(before, { ...notReady, reason: 'WaitingForNats', observedGeneration: 2 }, later)
    assert.deepEqual(after, [
      { ...notReady, reason: 'WaitingForNats', observedGeneration: 2, lastTransitionTime: '2026-01-02T03:04:05Z' },
    ])
  })

  it('sets the time when the status changes', () => {
    const [condition] = setCondition(setCondition([], notReady, first), { ...notReady, status: 'True' }, later)
    assert.equal(condition?.lastTransitionTime, '2026-01-02T04:00:00Z')
  })

  it('returns the same list when nothing changes', () => {
    const before = setCondition([], notReady, first)
    assert.equal(setCondition(before, { ...notReady }, later), before)
    for (const change of [{ reason: 'Other' }, { message: 'other' }, { observedGeneration: 2 }]) {
      assert.notEqual(setCondition(before, { ...notReady, ...change }, later), before)
    }
  })

  it('leaves the other conditions as they are, and the order', () => {
    const both = setCondition(setCondition([], notReady, first), { ...notReady, type: 'Degraded' }, first)
    const after = setCondition(both, { ...notReady, status: 'True' }, later)
    assert.deepEqual(
      after.map(({ type }) => type),
      ['Ready', 'Degraded'],
    )
    assert.equal(after[1], both[1])
    assert.equal(findCondition(after, 'Degraded'), both[1])
    assert.equal(findCondition(after, 'Draining'), undefined)
  })

  it('cuts a message that the API server would refuse', () => {
    const [condition] = setCondition([], { ...notReady, message: 'x'.repeat(40_000) }, first)
    assert.equal(condition?.message.length, 32_768)
  })
})
