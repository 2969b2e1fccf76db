import { createHistogram } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { LoadUser, type MessageKind } from './user.ts'

export interface LoadOptions extends MessageKind {
  /** Pairs of users; both send to each other. */
  readonly pairs: number
  /** Messages a second in all, evenly; 0 for as fast as answers come. */
  readonly rate: number
}

/** What came in a run. Latency is from when a message was due to be sent until its recipient had it. */
export interface Deliveries {
  readonly count: number
  /** Until the last of them had come. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Users who are logged in, each with a partner. Disposing it closes the connections. */
export interface Load extends Disposable {
  /**
   * Lets the users send for a time, and waits until all has come.
   *
   * @throws Error when a message is lost (did not come within 30 s), doubled or out of order, or a user is refused something
   */
  run(ms: number): Promise<Deliveries>
}

const LOGINS_AT_ONCE = 50
const PING_EVERY_MS = 20_000
const ARRIVAL_DEADLINE_MS = 30_000
/** After the last message: time for its acknowledgement, and for one more that should not come. */
const SETTLE_MS = 100
/** Messages waiting for room at a given rate, past which it is plain that the rate is too high. */
const MAX_WAITING = 100_000

/** Logs in the users of each pair, at one URL each. */
export async function startLoad(urls: readonly [string, string], options: LoadOptions): Promise<Load> {
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  let latencies = createHistogram()
  let sending = false
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
  const isBusy = () =>
    users.some(({ sent, accepted, waiting }) => waiting > 0 || accepted < sent) || countFaults(users).lost > 0
  return {
    async run(ms) {
      latencies = createHistogram()
      const start = performance.now()
      sending = true
      if (options.rate > 0) pace(users, options.rate, () => sending, events.onFailed)
      else for (const user of users) for (let n = 0; n < options.inFlight; n++) user.send(performance.now())
      await Promise.race([failed.promise, delay(ms)])
      sending = false
      const deadline = performance.now() + ARRIVAL_DEADLINE_MS
      while (isBusy() && performance.now() < deadline) await Promise.race([failed.promise, delay(10)])
      const { count } = latencies
      const perSecond = (count * 1000) / (performance.now() - start)
      await Promise.race([failed.promise, delay(SETTLE_MS)])
      checkFaults(users)
      const [p50Ms = 0, p99Ms = 0] = [50, 99].map((percent) => latencies.percentile(percent) / 1000)
      return { count, perSecond, p50Ms, p99Ms }
    },
    [Symbol.dispose]: close,
  }
}

function checkFaults(users: readonly LoadUser[]): void {
  const { lost, doubled, disordered } = countFaults(users)
  if (lost + doubled + disordered === 0) return
  throw new Error(`messages lost: ${lost}, doubled: ${doubled}, out of order: ${disordered}`)
}

function countFaults(users: readonly LoadUser[]) {
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
