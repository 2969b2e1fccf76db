import { findCondition, setCondition, type ConditionState, type Verdict } from '../api/conditions.ts'
import type { BrokerStatus, Condition } from '../api/imcluster.ts'
import { judgeDegraded } from './degraded.ts'
import { judgeDraining } from './draining.ts'
import { judgeDurable } from './durable.ts'
import type { Observation } from './observation.ts'
import { judgeProgressing } from './progressing.ts'
import { judgeReady } from './ready.ts'

/** The conditions of a cluster. Pure: times of transitions are kept from the former ones. @param brokers as the status shows them */
export function buildConditions(
  observation: Observation,
  brokers: readonly BrokerStatus[],
  former: readonly Condition[],
  now: Date,
): readonly Condition[] {
  const observedGeneration = observation.cluster.metadata.generation
  const states: readonly (readonly [ConditionState['type'], Verdict])[] = [
    ['Ready', judgeReady(observation)],
    ['Progressing', judgeProgressing(observation)],
    ['Draining', judgeDraining(observation, brokers)],
    ['Degraded', judgeDegraded(observation)],
    ['Durable', judgeDurable(observation, findCondition(former, 'Durable'))],
  ]
  return states.reduce(
    (conditions, [type, verdict]) => setCondition(conditions, { type, ...verdict, observedGeneration }, now),
    former,
  )
}
