import type { Verdict } from '../api/conditions.ts'
import { findGatewaysLost } from '../faults/gateway-lost.ts'
import type { Observation } from './observation.ts'
import { standsStill } from './progressing.ts'

/** Whether something is wrong: the reason is that of the gravest fault, the message has all. Faults have their words in faults/. */
export function judgeDegraded(observation: Observation): Verdict {
  const { faults, directory, standstill } = observation
  const stands = standstill !== undefined && standsStill(observation) ? [standstill] : []
  const all = [...faults, ...findGatewaysLost(directory.round?.lost ?? []), ...stands]
  const [gravest] = all
  if (gravest === undefined) return { status: 'False', reason: 'AsExpected', message: 'nothing is wrong' }
  return { status: 'True', reason: gravest.reason, message: all.map(({ message }) => message).join('; ') }
}
