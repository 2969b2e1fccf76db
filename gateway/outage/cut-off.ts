import type { LinkName, LinkReport } from './link-report.ts'

/**
 * What came of asking another gateway: its report, when it was asked (milliseconds of `performance.now`); `refused` when
 * something else came back, which proves that the network works; `silent` when nothing did.
 */
export type PeerAnswer = { readonly askedAt: number; readonly report: LinkReport } | 'refused' | 'silent'

/**
 * How a gateway stands that lacks Redis or NATS: `alone` when another one has what it lacks, or when it reaches nothing at
 * all; `shared` when nobody that it can ask has it; `unknown` when it can ask nobody.
 */
export type Verdict = 'alone' | 'shared' | 'unknown'

/**
 * One that loses Redis together with all others still hears of it later or earlier than they do. So another gateway has
 * what this one lacks only when that worked so long after this one missed it.
 */
export const SKEW_MS = 1_000

/**
 * Judges whether this gateway lacks something alone, or all do.
 *
 * @param lacks what it lacks, and since when, in milliseconds of `performance.now`
 * @param answers of the gateways that it knows; none when it knows none
 * @param reachesServers whether anything came back from where Redis or NATS are, be it a refusal
 */
export function judgeOutage(
  lacks: ReadonlyMap<LinkName, number>,
  answers: readonly PeerAnswer[],
  reachesServers: boolean,
): Verdict {
  const reports = answers.filter((answer) => typeof answer === 'object')
  if (reports.some((answer) => [...lacks].some(([name, since]) => has(answer, name, since)))) return 'alone'
  if (reports.length > 0) return 'shared'
  const nothing = answers.length > 0 && answers.every((answer) => answer === 'silent')
  return nothing && !reachesServers ? 'alone' : 'unknown'
}

function has({ askedAt, report }: Exclude<PeerAnswer, string>, name: LinkName, since: number): boolean {
  const { works, ageMs } = report[name]
  // It answered after it was asked, so that it worked then or later.
  return works && askedAt - ageMs > since + SKEW_MS
}
