/** What a floor may do wrong on purpose. */
export const faults = ['lost', 'doubled', 'disordered'] as const
export type Fault = (typeof faults)[number]

/** The only argument of the floor's process, as JSON. */
export interface FloorOptions {
  /** Unique among those that share a NATS server. */
  readonly id: string
  readonly port: number
  readonly natsUrl: string
  /** Answers each send. */
  readonly acks: boolean
  /** Sends each message to all others, instead of the one that holds the recipient. */
  readonly broadcasts: boolean
  readonly fault?: Fault | undefined
}
