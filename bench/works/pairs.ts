import { startGenerator } from '../load/generator.ts'
import { peers, type PeerName } from '../peers/peers.ts'
import type { Columns } from '../report/columns.ts'
import { openSubject, type Measured, type Subject } from './subject.ts'
import type { Figures, WorkContext } from './work.ts'

/** CPU time is in µs per delivered message. */
export const pairsColumns = {
  gatewaysUs: { title: 'gateways µs', decimals: 1 },
  redisUs: { title: 'Redis µs', decimals: 1 },
  natsUs: { title: 'NATS µs', decimals: 1 },
  loadUs: { title: 'load µs', decimals: 1 },
  perSecond: { title: 'messages/s', decimals: 0 },
  p50Ms: { title: 'p50 ms', decimals: 2 },
  p99Ms: { title: 'p99 ms', decimals: 2 },
} as const satisfies Columns

const PAIRS = 100
const PAYLOAD_BYTES = 128
const IN_FLIGHT = 32
const WARM_UP_MS = 6_000
const SLICE_MS = 4_000
/** Starting a peer and logging in its users, about. */
const START_SECONDS = 2.5

export function estimatePairs(peers: number, rounds: number): number {
  return peers * (START_SECONDS + WARM_UP_MS / 1000 + rounds * (SLICE_MS / 1000 + 0.5))
}

/** 200 users at two gateways, each with a partner at the other: all peers run side by side, and each is measured in turn. */
export async function runPairs(context: WorkContext, rate: number): Promise<void> {
  const { rounds, root, scale, fault } = context
  await using stack = new AsyncDisposableStack()
  const generator = stack.use(startGenerator())
  const subjects: { name: PeerName; subject: Subject }[] = []
  const sizes = { gateways: 2, pairs: PAIRS, inFlight: IN_FLIGHT, payloadBytes: PAYLOAD_BYTES }
  for (const name of context.peers) {
    context.step(`starting and warming up ${name}`)
    const subject = stack.use(await openSubject(peers[name], generator, { ...sizes, root, fault }))
    subjects.push({ name, subject })
    await subject.run({ ms: WARM_UP_MS * scale, rate })
  }
  for (let round = 1; round <= rounds; round++) {
    // Forth and back: what only rises or falls meanwhile favours nobody.
    for (const { name, subject } of round % 2 === 1 ? subjects : subjects.toReversed()) {
      context.step(`round ${round} of ${rounds}: ${name}`)
      context.record(name, buildPairsFigures(await subject.run({ ms: SLICE_MS * scale, rate })))
    }
  }
}

/** A group of processes that a peer does not have used no time, and has no figure. */
export function buildPairsFigures({ cpu, count, perSecond, p50Ms, p99Ms }: Measured): Figures {
  const times = Object.entries(cpu).filter(([, us]) => us > 0)
  return { ...Object.fromEntries(times.map(([group, us]) => [`${group}Us`, us / count])), perSecond, p50Ms, p99Ms }
}
