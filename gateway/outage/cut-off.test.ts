import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeOutage, SKEW_MS, type PeerAnswer, type Verdict } from './cut-off.ts'
import type { LinkName, LinkState } from './link-report.ts'

const SINCE = 100_000
/** Long after. */
const LATER = SINCE + 20_000
const works: LinkState = { works: true, ageMs: 500 }
const away: LinkState = { works: false, ageMs: 20_000 }

function report(redis: LinkState, nats: LinkState, askedAt = LATER): PeerAnswer {
  return { askedAt, report: { brokerId: 'other', bootId: 'boot', peers: 1, redis, nats } }
}

const both: readonly LinkName[] = ['redis', 'nats']

const cases: readonly (readonly [
  what: string,
  lacks: readonly LinkName[],
  answers: readonly PeerAnswer[],
  reachesServers: boolean,
  verdict: Verdict,
])[] = [
  ['another has Redis', ['redis'], [report(works, works)], true, 'alone'],
  ['one of several has it', ['redis'], ['silent', report(away, works), 'refused', report(works, works)], true, 'alone'],
  ['another has NATS', ['nats'], [report(away, works)], true, 'alone'],
  ['another has one of the two', both, [report(away, works)], true, 'alone'],
  ['all lack Redis', ['redis'], [report(away, works), report(away, works)], true, 'shared'],
  ['all lack NATS, and another has no Redis either', ['nats'], [report(away, away)], true, 'shared'],
  ['all lack both', both, [report(away, away), 'silent'], false, 'shared'],
  ['no other is known', both, [], false, 'unknown'],
  ['the others are dead', ['redis'], ['refused', 'refused'], true, 'unknown'],
  ['the others are silent, but something answers', ['redis'], ['silent', 'silent'], true, 'unknown'],
  ['one refuses: the network works', both, ['refused', 'silent'], false, 'unknown'],
  ['nothing answers', both, ['silent', 'silent'], false, 'alone'],
  [
    'another has not noticed yet: it last had Redis just before',
    ['redis'],
    [report({ works: true, ageMs: 4_000 }, works, SINCE + 3_900)],
    true,
    'shared',
  ],
  [
    'another had it a moment longer',
    ['redis'],
    [report({ works: true, ageMs: 4_000 }, works, SINCE + 4_000 + SKEW_MS)],
    true,
    'shared',
  ],
  [
    'another had it longer than that',
    ['redis'],
    [report({ works: true, ageMs: 4_000 }, works, SINCE + 4_001 + SKEW_MS)],
    true,
    'alone',
  ],
  [
    'another had it later, and has lost it by now',
    ['redis'],
    [report({ works: false, ageMs: 6_000 }, works)],
    true,
    'shared',
  ],
]

for (const [what, lacks, answers, reachesServers, verdict] of cases) {
  test(`${what}: ${verdict}`, () => {
    const since = new Map(lacks.map((name) => [name, SINCE]))
    assert.equal(judgeOutage(since, answers, reachesServers), verdict)
  })
}
