import { bootIdOf } from '../../session/brokers/broker.ts'
import type { Place } from './bus-record.ts'
import { Receiver, type Outlet } from './receiver.ts'

/** Processes that are remembered. Those that were not written to for longest give way, which they see as a hole. */
const MOST = 4_096
/**
 * After so many ticks without a record the last number is told, and told again: it may be lost with what it is about, for as long
 * as a way between two NATS servers is broken.
 */
const TOLD_AT = [1, 6, 20, 60, 300]
const LAST_TOLD_AT = Math.max(...TOLD_AT)

/**
 * The processes that this one writes to. A stream of records tells of its holes by itself; when it falls silent its last number is
 * told some times, and then nothing more is sent.
 */
export class Receivers {
  readonly #outlet: Outlet
  /** By boot id, which a broker without one has its name for. */
  readonly #all = new Map<string, Receiver>()
  /** Written to lately: the number has to be told yet. */
  readonly #busy = new Set<Receiver>()

  constructor(outlet: Outlet) {
    this.#outlet = outlet
  }

  get(place: Place): Receiver {
    const key = place.incarnation === '' ? place.brokerId : bootIdOf(place.incarnation)
    let receiver = this.#all.get(key)
    if (receiver === undefined) {
      receiver = new Receiver(place, key, this.#outlet)
      if (this.#all.size >= MOST) this.#forgetOne()
      this.#all.set(key, receiver)
    }
    this.#busy.add(receiver)
    return receiver
  }

  /** Once a second: tells those to which nothing was sent since. */
  tick(): void {
    for (const receiver of this.#busy) {
      const quiet = receiver.tick()
      if (TOLD_AT.includes(quiet)) receiver.tell()
      if (quiet < LAST_TOLD_AT) continue
      this.#busy.delete(receiver)
      this.#all.delete(receiver.key)
      this.#all.set(receiver.key, receiver)
    }
  }

  /** The connection broke: what was sent shortly before may be lost, as may be what told of it. */
  doubtAll(): void {
    for (const receiver of this.#busy) receiver.doubt()
  }

  /** Tells all that were written to lately. */
  tellAll(): void {
    for (const receiver of this.#busy) receiver.tell()
  }

  #forgetOne(): void {
    let forgotten: Receiver | undefined
    for (const receiver of this.#all.values()) {
      forgotten ??= receiver
      if (this.#busy.has(receiver)) continue
      forgotten = receiver
      break
    }
    if (forgotten === undefined) return
    this.#all.delete(forgotten.key)
    this.#busy.delete(forgotten)
  }
}
