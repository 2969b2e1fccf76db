import { z } from 'zod'
import type { SecretDigests } from '../secret-digest.ts'

/** One start of a broker. A StatefulSet reuses `brokerId`; `bootId` never repeats. */
export interface Incarnation {
  readonly brokerId: string
  readonly podUid: string
  /** Made at process start; must not contain `/`. */
  readonly bootId: string
  readonly host: string
  /** Milliseconds since 1970 by the process' own clock, for operators. */
  readonly startedAt: number
  /** Whether it writes inboxes as lists, or only reads those that are; absent before 0.3, which cannot. */
  readonly lists?: 'write' | 'read' | undefined
}

/**
 * An incarnation that is not yet cleaned. `cleanedAt`: Redis' time, ms, of the first pass of its cleanup. `leftAt`: the
 * process' own clock, ms, when it began to take itself out of the directory, for operators; absent before 0.3.
 */
export interface RegisteredIncarnation extends Incarnation {
  readonly cleanedAt?: number | undefined
  readonly leftAt?: number | undefined
}

export type BrokerState = 'starting' | 'ready' | 'draining'

/** What is wrong around a broker, in its own words. `reason` is one word in CamelCase. */
export interface Trouble {
  readonly reason: string
  readonly message: string
}

/** What the lease of a broker says about its holder. State, load and troubles are for operators. */
export interface Lease extends Incarnation {
  readonly state: BrokerState
  readonly connections: number
  readonly troubles?: readonly Trouble[] | undefined
  /** Whether a restart of Redis keeps what it has taken; absent where that cannot be known. */
  readonly redisPersistent?: boolean | undefined
  /** Redis' time, ms, at which the holder got it: who came later is the successor. Absent before 0.3. */
  readonly acquiredAt?: number | undefined
  /** Digests of the secrets that it uses. Absent before 0.3. */
  readonly secrets?: SecretDigests | undefined
  /** Where other gateways ask its holder, on its host, what it reaches. Absent before 0.3. */
  readonly adminPort?: number | undefined
}

const incarnation = z.object({
  brokerId: z.string(),
  podUid: z.string(),
  bootId: z.string(),
  host: z.string(),
  startedAt: z.number(),
  lists: z.enum(['write', 'read']).optional().catch(undefined),
})
const trouble = z.object({
  reason: z.string().regex(/^[A-Z][A-Za-z]{0,63}$/),
  message: z.string().transform((text) => text.slice(0, 1024)),
})
const registered = incarnation.extend({ cleanedAt: z.number().optional(), leftAt: z.number().optional() })
const digest = z.string().max(64).optional()
// Whatever else a later version writes: who holds a lease must not depend on what is only for operators.
const lease = incarnation.extend({
  host: z.string().catch(''),
  startedAt: z.number().catch(0),
  state: z.enum(['starting', 'ready', 'draining']).catch('ready'),
  connections: z.number().catch(0),
  troubles: z.array(trouble).max(16).optional().catch(undefined),
  redisPersistent: z.boolean().optional().catch(undefined),
  acquiredAt: z.number().optional().catch(undefined),
  secrets: z.object({ redis: digest, nats: digest, auth: digest }).optional().catch(undefined),
  adminPort: z.number().int().min(1).max(65_535).optional().catch(undefined),
})

/** The `incarnation` field of a session. */
export function formatIncarnation({ podUid, bootId }: Pick<Incarnation, 'podUid' | 'bootId'>): string {
  return `${podUid}/${bootId}`
}

/** The parts of a session's `incarnation` field. */
export function parseIncarnation(text: string): { podUid: string; bootId: string } {
  return { podUid: text.slice(0, Math.max(text.lastIndexOf('/'), 0)), bootId: bootIdOf(text) }
}

/** The boot id alone, which costs no object. */
export function bootIdOf(incarnation: string): string {
  return incarnation.slice(incarnation.lastIndexOf('/') + 1)
}

/** A stored lease, or undefined when it is absent or not readable. */
export function parseLease(json: string | null | undefined): Lease | undefined {
  return parse(lease, json)
}

/** A stored entry of the register of brokers, or undefined when it is absent or not readable. */
export function parseRegistered(json: string | null | undefined): RegisteredIncarnation | undefined {
  return parse(registered, json)
}

function parse<T>(schema: z.ZodType<T>, json: string | null | undefined): T | undefined {
  if (!json) return undefined
  try {
    return schema.safeParse(JSON.parse(json)).data
  } catch {
    return undefined
  }
}
