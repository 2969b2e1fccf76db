import type { Lease } from '../../session/brokers/broker.ts'
import type { Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'
import { listNames } from './list-names.ts'

/**
 * What the gateways themselves say is wrong, each thing once, with the names of those that say it. Reasons and words are theirs:
 * gateway/troubles.ts has the list.
 */
export function findGatewayTroubles(pods: readonly Pod[], leases: ReadonlyMap<string, Lease>): Fault[] {
  const sayers = new Map<string, { fault: Fault; names: string[] }>()
  for (const { metadata } of pods) {
    const lease = leases.get(metadata.name)
    if (lease?.podUid !== metadata.uid) continue
    for (const { reason, message } of lease?.troubles ?? []) {
      // A message may name the gateway itself: one each is enough.
      const known = sayers.get(reason)
      if (known === undefined) sayers.set(reason, { fault: { reason, message }, names: [metadata.name] })
      else known.names.push(metadata.name)
    }
  }
  return [...sayers.values()].map(({ fault, names }) => {
    return { ...fault, message: `${listNames(names)}: ${fault.message}` }
  })
}
