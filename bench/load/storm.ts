import { Backoff } from '../../client/backoff.ts'
import { adviceOf, codes } from '../../protocol/codes.ts'
import type { MessageKind, Wire, WireHandlers } from './wires/wire.ts'
import { wires, type WireName } from './wires/wires.ts'

export interface StormOptions {
  readonly wire: WireName
  /** Where all are, until that is gone; then they go to one of the others, any. */
  readonly url: string
  readonly others: readonly string[]
  readonly count: number
}

export interface Outcome {
  /** From the first lost connection until all were logged in again. */
  readonly ms: number
  readonly attempts: number
  /** Attempts that were told to go elsewhere. */
  readonly sentElsewhere: number
  /** Attempts that failed in any other way. */
  readonly thrownOut: number
}

/** Clients who come back by themselves, as the SDK does. Disposing it ends them. */
export interface Storm extends Disposable {
  /** Resolves when all are back after the gateway was lost; rejects after two minutes. */
  awaitReturn(): Promise<Outcome>
}

const LOGINS_AT_ONCE = 100
/** As the SDK waits. */
const BACKOFF_BASE_MS = 200
const BACKOFF_CAP_MS = 20_000
const DEADLINE_MS = 120_000
const silent: MessageKind = { inFlight: 1, payloadBytes: 16, durable: false }
const elsewhere = Object.entries(codes).flatMap(([name, { code }]) =>
  adviceOf(code) === 'reconnect-elsewhere' ? [name] : [],
)

/** Logs in all clients at the one URL. */
export async function startStorm({ wire, url, others, count }: StormOptions): Promise<Storm> {
  const counts = { attempts: 0, sentElsewhere: 0, thrownOut: 0 }
  const connected = new Map<number, Wire>()
  const back = new Set<number>()
  const allBack = Promise.withResolvers<void>()
  allBack.promise.catch(() => undefined)
  let [lostAt, stopped] = [0, false]

  const open = async (index: number, to: string): Promise<void> => {
    let isOpen = false
    const handlers: WireHandlers = {
      onMessage: () => undefined,
      onAnswer: () => undefined,
      onFailed() {
        // While it connects, the rejection says so.
        if (!isOpen) return
        lostAt ||= performance.now()
        back.delete(index)
        retry(index, new Backoff(BACKOFF_BASE_MS, BACKOFF_CAP_MS))
      },
    }
    const opened = await wires[wire].open(to, { userId: `storm-${index}` }, silent, handlers)
    isOpen = true
    connected.set(index, opened)
  }
  const retry = (index: number, backoff: Backoff): void => {
    setTimeout(() => {
      if (stopped) return
      counts.attempts += 1
      const to = others[Math.floor(Math.random() * others.length)] ?? ''
      open(index, to).then(
        () => {
          back.add(index)
          if (back.size === count) allBack.resolve()
        },
        (error: unknown) => {
          const text = String(error)
          counts[elsewhere.some((name) => text.includes(name)) ? 'sentElsewhere' : 'thrownOut'] += 1
          retry(index, backoff)
        },
      )
    }, backoff.next())
  }
  const close = () => {
    stopped = true
    for (const one of connected.values()) one.close()
  }

  let next = 0
  const work = async () => {
    for (let index = next++; index < count; index = next++) await open(index, url)
  }
  try {
    await Promise.all(Array.from({ length: LOGINS_AT_ONCE }, work))
  } catch (error) {
    close()
    throw error
  }
  return {
    async awaitReturn() {
      const deadline = setTimeout(
        () => allBack.reject(new Error(`${count - back.size} of ${count} clients are not back after two minutes`)),
        DEADLINE_MS,
      )
      await allBack.promise.finally(() => clearTimeout(deadline))
      return { ms: performance.now() - lostAt, ...counts }
    },
    [Symbol.dispose]: close,
  }
}
