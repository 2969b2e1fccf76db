import { formatAddress } from '../../server/address.ts'
import type { ClusterRival } from '../../session/brokers/cluster-claim.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { parseNatsAddress } from './nats-unavailable.ts'
import type { Fault } from './fault.ts'
import { qualifyHosts } from '../api/service-names.ts'

/** Reason of the condition of an ImCluster that is refused for its name. crds/imcluster.yaml names it, too. */
export const PREFIX_CONFLICT = 'PrefixConflict'

/**
 * The ImCluster whose subjects `broker.<name>-<ordinal>` are those of `cluster`, and which was there first: it has gateways
 * already, or was created before. Redis, where it is shared, has a claim instead; NATS keeps nothing.
 *
 * @param named every ImCluster of the same name, in any namespace
 * @param isEstablished whether the operator has made its StatefulSet
 */
export function findNatsRival(
  cluster: ImCluster,
  named: readonly ImCluster[],
  isEstablished: (cluster: ImCluster) => boolean,
): ImCluster | undefined {
  const servers = new Set(listServers(cluster))
  const rank = (of: ImCluster) => {
    const { creationTimestamp = '', uid } = of.metadata
    return `${isEstablished(of) ? 0 : 1} ${creationTimestamp} ${uid}`
  }
  return named.find(
    (other) =>
      other.metadata.uid !== cluster.metadata.uid &&
      other.spec.nats.subjectPrefix === cluster.spec.nats.subjectPrefix &&
      listServers(other).some((server) => servers.has(server)) &&
      rank(other) < rank(cluster),
  )
}

/** What is told of a name that somebody else has, found by the one or the other. */
export function buildPrefixConflict(
  { metadata: { name, namespace }, spec }: ImCluster,
  found: { readonly redis: ClusterRival } | { readonly nats: ImCluster },
): Fault {
  const prefixes = `set spec.redis.keyPrefix, like '${namespace}:', and spec.nats.subjectPrefix, like '${namespace}.'`
  return { reason: PREFIX_CONFLICT, message: `${describe()}. Two clusters of one name need prefixes: ${prefixes}` }

  function describe(): string {
    if ('nats' in found) {
      const rival = `${found.nats.metadata.namespace}/${name}`
      return `the ImCluster ${rival} is on the same NATS with the subjectPrefix '${spec.nats.subjectPrefix}'`
    }
    const { owner, brokers } = found.redis
    const where = `on the same Redis with the keyPrefix '${spec.redis.keyPrefix}'`
    if (owner !== undefined) return `the ImCluster ${owner.namespace}/${name} is ${where}`
    const hosts = brokers.map(({ brokerId, host }) => `${brokerId} at ${host}`).toSorted()
    return `gateways of another ImCluster ${name} are ${where}: ${hosts.join(', ')}`
  }
}

/** `host:port` of each NATS server that has an address. */
function listServers({ metadata: { namespace }, spec: { nats } }: ImCluster): string[] {
  return nats.servers.flatMap((server) => {
    const parsed = parseNatsAddress(qualifyHosts(server, namespace))
    return parsed === undefined ? [] : formatAddress(parsed.host, parsed.port)
  })
}
