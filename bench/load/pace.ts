import type { LoadUser } from './user.ts'

/** Messages waiting for room, past which it is plain that the rate is too high. */
const MAX_WAITING = 100_000

/** Lets the users send in turn until the signal. A message that the load is late with keeps the time at which it was due. */
export function pace(
  users: readonly LoadUser[],
  rate: number,
  signal: AbortSignal,
  onFailed: (error: Error) => void,
): void {
  const start = performance.now()
  let count = 0
  const tick = () => {
    if (signal.aborted) return
    const due = ((performance.now() - start) * rate) / 1000
    for (; count < due; count++) users[count % users.length]?.send(start + (count * 1000) / rate)
    const waiting = users.reduce((sum, user) => sum + user.waiting, 0)
    if (waiting > MAX_WAITING) onFailed(new Error(`${rate} messages/s are more than get through; give a lower --rate`))
    else setTimeout(tick, 1)
  }
  tick()
}
