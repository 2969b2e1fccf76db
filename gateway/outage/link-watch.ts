import type { Incarnation } from '../../session/brokers/broker.ts'
import { judgeOutage, type Verdict } from './cut-off.ts'
import { linkNames, type LinkName, type LinkReport, type LinkState } from './link-report.ts'
import type { Logger } from '../logger.ts'
import { reachesAny, type Address, type Peers } from './peers.ts'
import type { TroubleReason, Troubles } from '../troubles.ts'
import { Verdicts } from './verdicts.ts'

const ROUND_MS = 1_000

/** A link to Redis or NATS. */
export interface Link extends LinkState {
  /** Why it does not work. Of a reason that is told by others nothing more is said. */
  readonly fault: { readonly reason: TroubleReason; readonly message: string }
}

export interface LinkWatchContext {
  readonly links: Readonly<Record<LinkName, Link>>
  readonly peers: Peers
  readonly incarnation: Incarnation
  /** Where Redis and NATS are now, some places of each. */
  readonly servers: () => readonly Address[]
  readonly troubles: Troubles
  readonly logger: Logger
  /** This gateway is cut off: sends its clients to the others until the signal aborts, and then lets clients in again. */
  readonly sendAway: (until: AbortSignal) => Promise<void>
}

/**
 * Tells an outage that all gateways share from being cut off alone, by asking others. Only the latter makes a gateway that
 * was ready once unready: a balancer has nobody better in an outage of all, and no connection needs to end.
 */
export class LinkWatch implements AsyncDisposable {
  readonly #context: LinkWatchContext
  readonly #timer: NodeJS.Timeout
  /** What does not work, and since when. */
  readonly #lacks = new Map<LinkName, number>()
  #looking: Promise<void> | undefined
  readonly #verdicts = new Verdicts()
  #cutOff = false
  #wasComplete = false
  #leaving: { readonly until: AbortController; readonly ended: Promise<void> } | undefined

  constructor(context: LinkWatchContext) {
    this.#context = context
    this.#timer = setInterval(() => this.look(), ROUND_MS)
    this.look()
  }

  /** Looks now, unless that is under way. */
  look(): void {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
  }

  /** What is missing for this gateway to be ready, a line each; the first time that is both links. */
  get missing(): string[] {
    const faults = this.#faults.map(({ message }) => message)
    if (faults.length === 0) this.#wasComplete = true
    if (!this.#wasComplete) return faults
    if (!this.#cutOff) return []
    return faults.length > 0 ? [describeCutOff(faults)] : ['was cut off, and waits until the links have proved good']
  }

  /** For other gateways. */
  get report(): LinkReport {
    const { links, peers, incarnation } = this.#context
    const { brokerId, bootId } = incarnation
    const stateOf = ({ works, ageMs }: Link): LinkState => ({ works, ageMs: Math.min(Math.round(ageMs), 2 ** 31) })
    return { brokerId, bootId, peers: peers.size, redis: stateOf(links.redis), nats: stateOf(links.nats) }
  }

  get #faults(): Link['fault'][] {
    return linkNames.map((name) => this.#context.links[name]).flatMap(({ works, fault }) => (works ? [] : [fault]))
  }

  async #look(): Promise<void> {
    const { links, peers, logger } = this.#context
    for (const name of linkNames) {
      if (links[name].works) this.#lacks.delete(name)
      else if (!this.#lacks.has(name)) this.#lacks.set(name, performance.now())
    }
    if (this.#lacks.size === 0) this.#wasComplete = true
    if (!this.#lacks.has('redis')) {
      await peers
        .refresh()
        .catch((err: unknown) => logger.debug({ err }, 'other gateways cannot be read; trying again'))
    }
    const verdict = this.#lacks.size === 0 ? undefined : await this.#judge()
    this.#verdicts.add(verdict, performance.now())
    if (this.#verdicts.alone) this.#cutOff = true
    this.#leave()
    if (this.#verdicts.together && this.#leaving === undefined) this.#cutOff = false
    this.#tell(verdict)
  }

  async #judge(): Promise<Verdict> {
    const { peers, servers } = this.#context
    // Only who lacks both may be without any network.
    const lacksAll = this.#lacks.size === linkNames.length
    const [answers, reachesServers] = await Promise.all([peers.ask(), lacksAll ? reachesAny(servers()) : true])
    return judgeOutage(this.#lacks, answers, reachesServers)
  }

  /** Clients are sent away while something lacks, and this is not yet known to be an outage of all. */
  #leave(): void {
    if (!this.#cutOff || this.#lacks.size === 0 || this.#verdicts.together) return this.#leaving?.until.abort()
    if (this.#leaving !== undefined) return
    const until = new AbortController()
    const ended = this.#context.sendAway(until.signal).finally(() => (this.#leaving = undefined))
    this.#leaving = { until, ended }
  }

  #tell(verdict: Verdict | undefined): void {
    const { links, troubles } = this.#context
    const faults = this.#faults.map(({ message }) => message)
    if (!this.#cutOff) troubles.report('GatewayCutOff', undefined)
    else if (faults.length > 0) troubles.report('GatewayCutOff', describeCutOff(faults))
    for (const [name, own] of [
      ['redis', 'RedisUnavailable'],
      ['nats', 'NatsUnavailable'],
    ] as const) {
      const { works, fault } = links[name]
      const since = this.#lacks.get(name)
      // What is over by the next round is not worth a word.
      const lasts = since !== undefined && performance.now() - since >= ROUND_MS / 2
      if (works || this.#cutOff) troubles.report(own, undefined)
      else if (lasts && fault.reason === own) troubles.report(own, `${fault.message}${describeOthers(verdict)}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#leaving?.until.abort()
    await this.#looking
    this.#leaving?.until.abort()
    await this.#leaving?.ended
  }
}

function describeOthers(verdict: Verdict | undefined): string {
  if (verdict === 'shared') return '; the other gateways lack it, too, so this one stays ready'
  return verdict === 'unknown' ? '; no other gateway can be asked, so this one stays ready' : ''
}

function describeCutOff(faults: readonly string[]): string {
  return `${faults.join(', ')}: at this gateway alone, so its clients are sent to the others`
}
