import { buildTable, formatNumber } from './markdown.ts'
import type { Results } from './performance-table.ts'

const columns = [
  ['CPU µs a message, busy', 'w1a', 'gatewaysUs', 1],
  ['… of Redis and NATS', 'w1a', 'brokersUs', 1],
  ['CPU µs a message at 2,000/s', 'w1b', 'gatewaysUs', 0],
  ['p99 ms at 2,000/s', 'w1b', 'p99Ms', 1],
  ['CPU µs a login', 'login', 'gatewaysUs', 0],
  ['KB a connection at rest', 'w4', 'bytes', 1],
] as const

const peers = [
  ['im-cluster, durable', 'im', 'is stored before it is answered'],
  ['im-cluster, transient', 'im-transient', 'is answered, and pushed once'],
  ['Socket.IO with acknowledgements', 'socketio-ack', 'is acknowledged, and stored nowhere'],
  ['Socket.IO', 'socketio', 'is sent'],
  ['a plain server of Node', 'floor-ack', 'is answered, and stored nowhere'],
] as const

/** What im-cluster costs beside others, for a reader who wants a first impression; a dash where a work has no result. */
export function buildPeerTable(results: Results): string {
  const find = (work: string, peer: string, column: string): number | undefined => {
    // A login, or rest, is the same for all that a peer may send.
    const name = work === 'login' || work === 'w4' ? peer.replace(/-(ack|transient)$/, '') : peer
    const figures = results.get(work)?.rows.find((row) => row.name === name)?.figures
    if (column !== 'brokersUs') return figures?.[column]?.median
    const brokers = [figures?.['redisUs'], figures?.['natsUs']].flatMap((figure) => figure?.median ?? [])
    return brokers.length === 0 ? undefined : brokers.reduce((sum, each) => sum + each, 0)
  }
  const rows = peers.map(([title, peer, what]) => [
    title,
    what,
    ...columns.map(([, work, column, decimals]) => {
      const figure = find(work, peer, column)
      return figure === undefined ? '–' : formatNumber(figure, decimals)
    }),
  ])
  return buildTable(['', 'a message', ...columns.map(([title]) => title)], rows)
}
