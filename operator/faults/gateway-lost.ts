import type { LostBroker } from '../cleanup/broker-cleanup.ts'
import type { Fault } from './fault.ts'

/** Gateways without a lease that are not proved to be dead, so that their sessions must stay. */
export function findGatewaysLost(lost: readonly LostBroker[]): Fault[] {
  return lost
    .filter(({ proved }) => !proved)
    .map(({ incarnation: { brokerId } }) => {
      const why = `pod ${brokerId} is there and its container has not ended; it may only be slow, or its node away`
      return { reason: 'GatewayLost', message: `${brokerId}: its lease ran out, ${why}` }
    })
}
