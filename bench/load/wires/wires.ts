import { openNatsWire, openRedisWire } from './brokers.ts'
import { openFloorWire } from './floor.ts'
import { openImWire } from './im.ts'
import { openSocketIoAckWire, openSocketIoWire } from './socketio.ts'
import type { OpenWire } from './wire.ts'

export interface WireKind {
  readonly open: OpenWire
  /** Whether each send is answered; where it is not, one counts as answered when its recipient has it. */
  readonly answers: boolean
}

/** How users of the peers speak. */
export const wires = {
  im: { open: openImWire, answers: true },
  floor: { open: openFloorWire, answers: false },
  'floor-ack': { open: openFloorWire, answers: true },
  socketio: { open: openSocketIoWire, answers: false },
  'socketio-ack': { open: openSocketIoAckWire, answers: true },
  redis: { open: openRedisWire, answers: true },
  nats: { open: openNatsWire, answers: false },
} as const satisfies Record<string, WireKind>

export type WireName = keyof typeof wires
