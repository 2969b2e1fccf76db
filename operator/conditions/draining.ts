import type { Verdict } from '../api/conditions.ts'
import type { BrokerStatus } from '../api/imcluster.ts'
import type { Observation } from './observation.ts'

/** Whether gateways are sending their clients to others. @param brokers as the status shows them */
export function judgeDraining({ pods }: Observation, brokers: readonly BrokerStatus[]): Verdict {
  const names = pods
    .filter(({ metadata }) => metadata.deletionTimestamp !== undefined)
    .map(({ metadata }) => metadata.name)
  const draining = brokers.filter(({ brokerId, state }) => state === 'draining' || names.includes(brokerId))
  if (draining.length === 0) return { status: 'False', reason: 'NoneDraining', message: 'no gateway is leaving' }
  const parts = draining.map(({ brokerId, connections }) => `${brokerId} (${connections} connections)`)
  return { status: 'True', reason: 'GatewaysDraining', message: `leaving: ${parts.join(', ')}` }
}
