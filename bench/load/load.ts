import { createHistogram } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { pace } from './pace.ts'
import { LoadUser } from './user.ts'
import type { MessageKind } from './wires/wire.ts'
import { wires, type WireName } from './wires/wires.ts'

export interface LoadOptions extends MessageKind {
  readonly wire: WireName
  /** Where the peer listens, one URL for each of its gateways. */
  readonly urls: readonly string[]
  /** Pairs of users; both send to each other. Where there are several gateways, partners are at two of them. */
  readonly pairs: number
}

export interface RunOptions {
  readonly ms: number
  /** Messages a second in all, evenly; 0 for as fast as answers come. */
  readonly rate: number
}

/** Messages that did not come, came more than once, or not in order, since the load was started. */
export interface Faults {
  readonly lost: number
  readonly doubled: number
  readonly disordered: number
}

/** What came in a run. Latency is from when a message was due to be sent until its recipient had it. */
export interface Deliveries {
  readonly count: number
  /** Until the last of them had come. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly faults: Faults
}

/** Users who are logged in, each with a partner. Disposing it closes the connections. */
export interface Load extends Disposable {
  /**
   * Lets the users send for a time, and waits until all has come, or nothing more comes.
   *
   * @throws Error when a user is refused something
   */
  run(options: RunOptions): Promise<Deliveries>
}

const LOGINS_AT_ONCE = 50
const PING_EVERY_MS = 20_000
/** When nothing has come for so long, what is missing is lost. */
const SILENCE_MS = 10_000
/** After the last message: time for its acknowledgement, and for one more that should not come. */
const SETTLE_MS = 100

/** The gateways of a pair: over many pairs all two of them come up alike. */
export function placePair(pair: number, gateways: number): readonly [number, number] {
  const first = pair % gateways
  if (gateways === 1) return [0, 0]
  return [first, (first + 1 + (Math.floor(pair / gateways) % (gateways - 1))) % gateways]
}

/** Logs in the users of each pair. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  const orFailure = <Value>(promise: Promise<Value>) => Promise.race([failed.promise, promise])
  let latencies = createHistogram()
  let onRoom: ((user: LoadUser) => void) | undefined
  const events = {
    onDelivered: (dueAt: number) => latencies.record(Math.max(1, Math.round((performance.now() - dueAt) * 1000))),
    onAnswered: (user: LoadUser) => onRoom?.(user),
    onFailed: (error: Error) => failed.reject(error),
  }
  const users: LoadUser[] = []
  const places: string[] = []
  for (let pair = 0; pair < options.pairs; pair++) {
    const [a, b] = [new LoadUser(`a${pair}`, options, events), new LoadUser(`b${pair}`, options, events)]
    a.pairWith(b)
    b.pairWith(a)
    users.push(a, b)
    places.push(...placePair(pair, options.urls.length).map((at) => options.urls[at] ?? ''))
  }
  // Who sends seldom would be taken for gone.
  const pings = setInterval(() => users.forEach((user) => user.ping()), PING_EVERY_MS)
  const close = () => {
    onRoom = undefined
    clearInterval(pings)
    for (const user of users) user.close()
  }
  try {
    for (let at = 0; at < users.length; at += LOGINS_AT_ONCE) {
      const batch = users.slice(at, at + LOGINS_AT_ONCE)
      await Promise.all(batch.map((user, index) => user.login(places[at + index] ?? '', wires[options.wire])))
    }
  } catch (error) {
    close()
    throw error
  }
  const isBusy = () =>
    users.some(({ sent, answered, waiting }) => waiting > 0 || answered < sent) || countFaults(users).lost > 0
  return {
    async run({ ms, rate }) {
      latencies = createHistogram()
      const start = performance.now()
      const over = new AbortController()
      if (rate > 0) pace(users, rate, over.signal, events.onFailed)
      else {
        onRoom = (user) => user.send(performance.now())
        for (const user of users) for (let n = 0; n < options.inFlight; n++) user.send(performance.now())
      }
      await orFailure(delay(ms)).finally(() => over.abort())
      onRoom = undefined
      let heard = { count: latencies.count, at: performance.now() }
      while (isBusy() && performance.now() - heard.at < SILENCE_MS) {
        await orFailure(delay(10))
        if (latencies.count !== heard.count) heard = { count: latencies.count, at: performance.now() }
      }
      const { count } = latencies
      const perSecond = (count * 1000) / (performance.now() - start)
      await orFailure(delay(SETTLE_MS))
      const [p50Ms = 0, p99Ms = 0] = [50, 99].map((percent) => latencies.percentile(percent) / 1000)
      return { count, perSecond, p50Ms, p99Ms, faults: countFaults(users) }
    },
    [Symbol.dispose]: close,
  }
}

function countFaults(users: readonly LoadUser[]): Faults {
  const faults = { lost: 0, doubled: 0, disordered: 0 }
  for (const { ledger, lost } of users) {
    faults.lost += lost
    faults.doubled += ledger.doubled
    faults.disordered += ledger.disordered
  }
  return faults
}
