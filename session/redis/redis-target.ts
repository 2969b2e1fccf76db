import { isDeepStrictEqual } from 'node:util'
import { Cluster, type Redis } from 'ioredis'
import type { RedisTarget } from './redis-url.ts'

/**
 * What differs between two targets. `place`: another address of a single Redis, or TLS to it. `kind`: what no client can change while it
 * lives, or what has other data, which is all else but user and password.
 */
export type TargetChange = 'none' | 'credentials' | 'place' | 'kind'

/** Says what differs. The order of hosts does not matter. */
export function compareTargets(from: RedisTarget, to: RedisTarget): TargetChange {
  const [place, other] = [from, to].map(({ kind, tls, hosts, db, masterName }) => {
    return { kind, tls, hosts: hosts.map(({ host, port }) => `${host}:${port}`).toSorted(), db, masterName }
  })
  const single = from.kind === 'single' && to.kind === 'single' && from.db === to.db
  if (!isDeepStrictEqual(place, other)) return single ? 'place' : 'kind'
  return from.username === to.username && from.password === to.password ? 'none' : 'credentials'
}

const targets = new WeakMap<Redis | Cluster, RedisTarget>()

/** Notes what a new client was made for. A cluster's connections to nodes that it meets later take it from here. */
export function noteTarget(client: Redis | Cluster, target: RedisTarget): void {
  targets.set(client, target)
}

/**
 * Lets a client have another user, password and, if it is of a single Redis, address. It is used from the next connection
 * on: those that stand stay, unless the place is another, when the client reconnects at once.
 *
 * @param to differs from what the client has by no more than `place`
 */
export function changeTarget(client: Redis | Cluster, to: RedisTarget): void {
  const from = targets.get(client)
  targets.set(client, to)
  if (client instanceof Cluster) {
    for (const node of client.nodes()) setCredentials(node, to)
    return
  }
  setCredentials(client, to)
  if (from === undefined || compareTargets(from, to) !== 'place') return
  const [first] = to.hosts
  Object.assign(client.options, { ...first, tls: to.tls ? {} : undefined })
  if (client.status !== 'end') client.disconnect(true)
}

/** To be called for each new node of a cluster, before it connects. */
export function setNodeCredentials(cluster: Cluster, node: Redis): void {
  const target = targets.get(cluster)
  if (target !== undefined) setCredentials(node, target)
}

/** ioredis reads these whenever it connects, and hands them on to what it makes of a node or sentinel. */
function setCredentials({ options }: Redis, { kind, username, password }: RedisTarget): void {
  Object.assign(options, { username, password })
  if (kind === 'sentinel') Object.assign(options, { sentinelUsername: username, sentinelPassword: password })
}
