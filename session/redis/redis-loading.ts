import type { Redis } from 'ioredis'
import { SessionError } from '../errors.ts'

/** The nodes of a client that were found loading. */
const loading = new WeakMap<object, Set<Redis>>()

/** The error of whatever is asked of a Redis that loads its data: it answers by itself when that is done. */
export function buildLoadingError(cause?: unknown): SessionError {
  const message = 'Redis is loading its data after a start; it answers when that is done'
  return new SessionError('redis_loading', message, { cause })
}

/** Whether a Redis of this client is connected and still loads its data. */
export function isLoading(client: object): boolean {
  return (loading.get(client)?.size ?? 0) > 0
}

/**
 * Asks a node, each time when it is connected, whether it loads its data: ioredis waits for that without a word, and refuses
 * commands as if there were no connection.
 *
 * @param client that the node is of, or the node itself
 */
export function watchLoading(node: Redis, client: object, tell: (error: SessionError) => void): void {
  const nodes = loading.get(client) ?? new Set()
  loading.set(client, nodes)
  const look = async () => {
    const text = await node.info('persistence')
    if (node.status !== 'connect' || !/^loading:1/m.test(text)) return
    nodes.add(node)
    tell(buildLoadingError())
  }
  // What else is wrong with the connection is told by its errors.
  node.on('connect', () => void look().catch(() => undefined))
  node.on('ready', () => nodes.delete(node)).on('close', () => nodes.delete(node))
}
