import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { startMonitoredNats } from './monitored-nats.ts'
import type { Peer } from './peer.ts'

/** Redis by itself: each message is appended to a list and published. */
export const redisPeer: Peer = {
  title: 'Redis alone: RPUSH and PUBLISH',
  async start() {
    const redis = await startRedis({ persistent: false })
    return {
      wire: 'redis',
      urls: [redis.url],
      durable: true,
      pids: { gateways: [], redis: [redis.pid], nats: [] },
      redisUrl: redis.url,
      [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
    }
  },
}

/** NATS by itself: each user has a subject. */
export const natsPeer: Peer = {
  title: 'NATS alone: a subject for each user',
  async start() {
    const nats = await startMonitoredNats()
    return {
      wire: 'nats',
      urls: [nats.url],
      durable: false,
      pids: { gateways: [], redis: [], nats: [nats.pid] },
      natsMonitorUrl: nats.monitorUrl,
      [Symbol.asyncDispose]: () => nats[Symbol.asyncDispose](),
    }
  },
}
