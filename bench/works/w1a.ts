import { estimatePairs, pairsColumns, runPairs } from './pairs.ts'
import type { Work } from './work.ts'

export const w1a: Work = {
  name: 'w1a',
  title: 'W1a: messages as fast as they go',
  description:
    '200 users, 100 at each of two gateways; each sends to a partner at the other gateway, with 32 messages in flight, as fast as ' +
    'it goes. Payload 128 bytes. CPU time (user and system) of each group of processes per delivered message.',
  peers: ['im', 'im-tcp', 'im-transient', 'floor', 'floor-ack', 'socketio', 'socketio-ack', 'redis', 'nats'],
  columns: pairsColumns,
  plots: [{ kind: 'bars', name: 'cpu', title: 'CPU µs per message', columns: ['gatewaysUs', 'redisUs', 'natsUs'] }],
  estimateSeconds: estimatePairs,
  run: (context) => runPairs(context, 0),
}
