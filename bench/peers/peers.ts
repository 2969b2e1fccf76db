import { natsPeer, redisPeer } from './brokers.ts'
import { buildImPeer } from './im.ts'
import type { Peer } from './peer.ts'
import { buildFloorPeer, buildSocketIoPeer } from './plain.ts'

/** What is measured, and what it is measured against, in the order of the tables. */
export const peers = {
  im: buildImPeer('im-cluster, durable, WebSocket'),
  'im-tcp': buildImPeer('im-cluster, durable, TCP', { tcp: true }),
  'im-transient': buildImPeer('im-cluster, transient, WebSocket', { durable: false }),
  floor: buildFloorPeer('floor: plain ws and nats', {}),
  'floor-ack': buildFloorPeer('floor with answers', { acks: true }),
  broadcast: buildFloorPeer('floor with answers, to all gateways', { acks: true, broadcasts: true }),
  socketio: buildSocketIoPeer('Socket.IO, Redis adapter', 'socketio'),
  'socketio-ack': buildSocketIoPeer('Socket.IO with acknowledgements', 'socketio-ack'),
  redis: redisPeer,
  nats: natsPeer,
} as const satisfies Record<string, Peer>

export type PeerName = keyof typeof peers
export const peerNames = Object.keys(peers) as PeerName[]
