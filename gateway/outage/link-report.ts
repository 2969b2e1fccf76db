import { z } from 'zod'

/** What every gateway needs. */
export const linkNames = ['redis', 'nats'] as const
export type LinkName = (typeof linkNames)[number]

/** How a gateway's link to Redis or NATS is. */
export interface LinkState {
  /** Whether it works, as far as the gateway knows. */
  readonly works: boolean
  /** How long ago it surely worked, in milliseconds: an age, as clocks of two machines differ. */
  readonly ageMs: number
}

/** What a gateway tells others of its links, at /links of the admin port. */
export interface LinkReport extends Readonly<Record<LinkName, LinkState>> {
  /** An address may be another's by now. */
  readonly brokerId: string
  readonly bootId: string
  /** How many other gateways it knows to ask. */
  readonly peers: number
}

const link = z.object({ works: z.boolean(), ageMs: z.number().min(0) })
const report = z.object({ brokerId: z.string(), bootId: z.string(), peers: z.number(), redis: link, nats: link })

/** A report, or undefined when it is none. */
export function parseLinkReport(json: string): LinkReport | undefined {
  try {
    return report.safeParse(JSON.parse(json)).data
  } catch {
    return undefined
  }
}
