import { estimatePairs, pairsColumns, runPairs } from './pairs.ts'
import type { Work } from './work.ts'

const MESSAGES_PER_SECOND = 2000

export const w1b: Work = {
  name: 'w1b',
  title: 'W1b: 2,000 messages a second',
  description:
    'The pairs of W1a, 2,000 messages a second in all, evenly. A process that is not busy gathers little, so a message costs more ' +
    'than in W1a. Latency is from when a message was due to be sent until its recipient had it.',
  peers: ['im', 'im-tcp', 'im-transient', 'floor', 'floor-ack', 'socketio', 'socketio-ack'],
  columns: pairsColumns,
  plots: [
    { kind: 'bars', name: 'cpu', title: 'CPU µs per message', columns: ['gatewaysUs', 'redisUs', 'natsUs'] },
    { kind: 'bars', name: 'latency', title: 'Latency, p99, ms', columns: ['p99Ms'] },
  ],
  estimateSeconds: estimatePairs,
  run: (context) => runPairs(context, MESSAGES_PER_SECOND),
}
