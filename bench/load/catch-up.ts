import { Ledger } from './ledger.ts'
import type { MessageKind, Wire } from './wires/wire.ts'
import { wires, type WireName } from './wires/wires.ts'

export interface FillOptions {
  readonly wire: WireName
  readonly url: string
  /** Each from a sender of its own. */
  readonly recipients: readonly string[]
  /** For each recipient. */
  readonly count: number
  readonly payloadBytes: number
}

export interface CatchUpOptions {
  readonly wire: WireName
  readonly url: string
  /** One device of each. */
  readonly userIds: readonly string[]
  /** A device that no gateway has seen, and that so gets all. */
  readonly imei: string
  /** For each. */
  readonly count: number
}

export interface CaughtUp {
  /** From the first connection until the last message. */
  readonly ms: number
  readonly doubled: number
  readonly disordered: number
}

const SENDERS_AT_ONCE = 10
const IN_FLIGHT = 64
const DEADLINE_MS = 5 * 60_000

/** Sends to users who are away. */
export async function fill({ wire, url, recipients, count, payloadBytes }: FillOptions): Promise<void> {
  const kind: MessageKind = { inFlight: IN_FLIGHT, payloadBytes, durable: true }
  let next = 0
  const work = async () => {
    for (let to = recipients[next++]; to !== undefined; to = recipients[next++])
      await fillOne(wire, url, to, count, kind)
  }
  await Promise.all(Array.from({ length: SENDERS_AT_ONCE }, work))
}

async function fillOne(wire: WireName, url: string, to: string, count: number, kind: MessageKind): Promise<void> {
  const done = Promise.withResolvers<void>()
  let [sent, answered] = [0, 0]
  const send = () => {
    if (sent === count) return
    sent += 1
    sender.send(to, sent, 0)
  }
  const sender: Wire = await wires[wire].open(url, { userId: `to-${to}` }, kind, {
    onMessage: () => undefined,
    onAnswer() {
      answered += 1
      if (answered === count) done.resolve()
      else send()
    },
    onFailed: done.reject,
  })
  for (let n = 0; n < kind.inFlight; n++) send()
  await done.promise
  sender.close()
}

/** Connects a device of each user, and waits until each has all of its messages. */
export async function catchUp({ wire, url, userIds, imei, count }: CatchUpOptions): Promise<CaughtUp> {
  const start = performance.now()
  const late = Promise.withResolvers<never>()
  late.promise.catch(() => undefined)
  const deadline = setTimeout(() => late.reject(new Error('devices did not catch up in time')), DEADLINE_MS)
  const opened: Wire[] = []
  const ledgers = userIds.map(() => new Ledger())
  let last = start
  try {
    await Promise.race([
      late.promise,
      Promise.all(
        userIds.map(async (userId, index) => {
          const done = Promise.withResolvers<void>()
          const kind: MessageKind = { inFlight: 1, payloadBytes: 16, durable: true }
          let received = 0
          const handlers = {
            onMessage(_: string, number: number) {
              ledgers[index]?.receive(number)
              received += 1
              last = performance.now()
              if (received === count) done.resolve()
            },
            onAnswer: () => undefined,
            onFailed: done.reject,
          }
          opened.push(await wires[wire].open(url, { userId, imei }, kind, handlers))
          await done.promise
        }),
      ),
    ])
  } finally {
    clearTimeout(deadline)
    for (const one of opened) one.close()
  }
  const sum = (key: 'doubled' | 'disordered') => ledgers.reduce((total, ledger) => total + ledger[key], 0)
  return { ms: last - start, doubled: sum('doubled'), disordered: sum('disordered') }
}
