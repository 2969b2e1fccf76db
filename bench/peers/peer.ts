import type { WireName } from '../load/wires/wires.ts'
import type { Fault } from './floor-options.ts'

export interface PeerOptions {
  /** Server processes, where the peer has any. */
  readonly gateways: number
  /** The checkout whose gateways are run. */
  readonly root: string
  /** More settings of the product's gateways. */
  readonly env?: Readonly<Record<string, string>>
  /** What the floor does wrong on purpose, to see that it is noticed. */
  readonly fault?: Fault | undefined
}

/** A peer that runs, in processes of its own. */
export interface PeerCluster extends AsyncDisposable {
  readonly wire: WireName
  /** Where users connect; one URL for each gateway. */
  readonly urls: readonly string[]
  /** Whether users ask that messages are stored. */
  readonly durable: boolean
  readonly pids: Readonly<Record<ProcessGroup, readonly number[]>>
  readonly redisUrl?: string | undefined
  /** Where NATS says how many messages it has carried. */
  readonly natsMonitorUrl?: string | undefined
  /** Ends a gateway as a crash does. */
  kill?(gateway: number): void
}

export type ProcessGroup = 'gateways' | 'redis' | 'nats'

/** Something that carries messages from user to user. */
export interface Peer {
  readonly title: string
  start(options: PeerOptions): Promise<PeerCluster>
}
