import { createHistogram } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { LoadUser, type MessageKind } from './user.ts'

export interface LoadOptions extends MessageKind {
  /** Pairs of users; both send to each other. */
  readonly pairs: number
  /** Messages a second in all, evenly; 0 for as fast as answers come. */
  readonly rate: number
}

/** What came in a time. Latency is from when a message was due to be sent until its recipient had it. */
export interface Deliveries {
  readonly count: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Messages that did not come once each and in order. */
export interface Faults {
  readonly lost: number
  readonly doubled: number
  readonly disordered: number
}

/** Users who are logged in and send, until `finish`. Disposing it closes the connections. */
export interface Load extends Disposable {
  /** Lets the load run for a time, and says what came in it. Rejects as soon as a user is refused something. */
  run(ms: number): Promise<Deliveries>
  /** Sends no more, waits at most 30 s for what is under way, and says what went wrong. */
  finish(): Promise<Faults>
}

const LOGINS_AT_ONCE = 50
const PING_EVERY_MS = 20_000
const FINISH_DEADLINE_MS = 30_000
/** Messages waiting for room at a given rate, past which it is plain that the rate is too high. */
const MAX_WAITING = 100_000

/** Logs in the users of each pair at one URL each, and begins to send. */
export async function startLoad(urls: readonly [string, string], options: LoadOptions): Promise<Load> {
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  let latencies = createHistogram()
  let sending = true
  const events = {
    onDelivered: (dueAt: number) => latencies.record(Math.max(1, Math.round((performance.now() - dueAt) * 1000))),
    onAccepted(user: LoadUser) {
      if (sending && options.rate === 0) user.send(performance.now())
    },
    onFailed: (error: Error) => failed.reject(error),
  }
  const users = Array.from({ length: options.pairs }, (_, pair) => [`a${pair}`, `b${pair}`] as const).flatMap(
    ([a, b]) => [new LoadUser(a, b, options, events), new LoadUser(b, a, options, events)],
  )
  // Who sends seldom would be taken for gone.
  const pings = setInterval(() => users.forEach((user) => user.ping()), PING_EVERY_MS)
  const close = () => {
    sending = false
    clearInterval(pings)
    for (const user of users) user.close()
  }
  try {
    for (let at = 0; at < users.length; at += LOGINS_AT_ONCE) {
      const batch = users.slice(at, at + LOGINS_AT_ONCE)
      await Promise.all(batch.map((user, index) => user.login(urls[(at + index) % 2 === 0 ? 0 : 1])))
    }
  } catch (error) {
    close()
    throw error
  }
  if (options.rate > 0) pace(users, options.rate, () => sending, events.onFailed)
  else for (const user of users) for (let n = 0; n < options.inFlight; n++) user.send(performance.now())

  return {
    async run(ms) {
      latencies = createHistogram()
      const start = performance.now()
      await Promise.race([failed.promise, delay(ms)])
      const { count } = latencies
      const [p50Ms = 0, p99Ms = 0] = [50, 99].map((percent) => latencies.percentile(percent) / 1000)
      return { count, perSecond: (count * 1000) / (performance.now() - start), p50Ms, p99Ms }
    },
    async finish() {
      sending = false
      const deadline = performance.now() + FINISH_DEADLINE_MS
      const isBusy = () => users.some(({ sent, accepted, waiting }) => waiting > 0 || accepted < sent)
      while ((isBusy() || countFaults(users).lost > 0) && performance.now() < deadline) {
        await Promise.race([failed.promise, delay(20)])
      }
      return countFaults(users)
    },
    [Symbol.dispose]: close,
  }
}

function countFaults(users: readonly LoadUser[]): Faults {
  const faults = { lost: 0, doubled: 0, disordered: 0 }
  users.forEach(({ ledger }, index) => {
    // Partners stand side by side.
    faults.lost += ledger.countLost(users[index ^ 1]?.sent ?? 0)
    faults.doubled += ledger.doubled
    faults.disordered += ledger.disordered
  })
  return faults
}

/** Lets the users send in turn. A message that the generator is late with keeps the time at which it was due. */
function pace(
  users: readonly LoadUser[],
  rate: number,
  isSending: () => boolean,
  onFailed: (error: Error) => void,
): void {
  const start = performance.now()
  let count = 0
  const tick = () => {
    if (!isSending()) return
    const due = ((performance.now() - start) * rate) / 1000
    for (; count < due; count++) users[count % users.length]?.send(start + (count * 1000) / rate)
    const waiting = users.reduce((sum, user) => sum + user.waiting, 0)
    if (waiting > MAX_WAITING) onFailed(new Error(`${rate} messages/s are more than get through; give a lower --rate`))
    else setTimeout(tick, 1)
  }
  tick()
}
