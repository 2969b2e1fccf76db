import type { Logger } from '../logger.ts'
import type { MemoryBudget } from '../memory/memory-budget.ts'
import type { Metrics } from '../metrics.ts'
import type { SecretValues } from '../secrets/secrets.ts'
import type { GatewaySettings } from '../settings.ts'
import type { Troubles } from '../troubles.ts'
import type { BusRecord, Place } from './bus-record.ts'

/** What the bus has for its owner. */
export interface BusEvents {
  /** A record from another broker, with the frame that it carries (empty when none), and where an answer goes. */
  record(record: BusRecord, frame: Uint8Array, from: Place): void
  /** Records may have been lost: all that this broker holds is to be compared with Redis. */
  compare(): void
}

/** What the bus needs of its owner. */
export interface BusContext {
  readonly settings: GatewaySettings
  /** Of this process. */
  readonly bootId: string
  /** Those in use, whenever they are asked for. */
  readonly secrets: () => SecretValues
  readonly memory: MemoryBudget
  readonly metrics: Metrics
  readonly troubles: Troubles
  readonly logger: Logger
}
