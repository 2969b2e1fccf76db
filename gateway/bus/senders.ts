import { bootIdOf } from './boot-id.ts'
import type { Place } from './bus-record.ts'

/** Processes that are remembered. Those met first give way; one that is forgotten and comes again looks like a hole. */
const MOST = 4_096
/** Ticks without a message, or the number that follows the last one, after which a sender counts as gone, with what it sent last. */
const SILENCE = 5
/** Ticks from one comparison of all heads to the next at the least. */
const APART = 5
/** While a sender without numbers is about heads are compared every so many ticks, and for so many after its last record. */
const UNNUMBERED_ROUND = 8
const UNNUMBERED_ABOUT = 600

interface Sender {
  readonly place: Place
  /** The number of its last message that came. */
  last: number
  /** It has told its last number, and sent nothing since. */
  settled: boolean
  silent: number
}

/** Where an answer to a sender goes. */
export function placeOf(sender: string): Place {
  const [brokerId = ''] = sender.split('/', 1)
  return { brokerId, incarnation: bootIdOf(sender) }
}

export interface SenderEvents {
  /** A message did not come: what it held is to be found in Redis. */
  hole(): void
  /** Time to compare heads: for holes, or because somebody sends without numbers. */
  compare(): void
}

/** The processes that write to this one, and what has come of each. */
export class Senders {
  readonly #events: SenderEvents
  readonly #all = new Map<string, Sender>()
  /** Of which something came, and no last number since. */
  readonly #open = new Set<Sender>()
  #due = false
  #sinceCompared = APART
  #unnumbered = 0

  constructor(events: SenderEvents) {
    this.#events = events
  }

  /**
   * A message with this number came.
   *
   * @param sender as in its head
   * @param settled it held nothing but the number of the last one
   */
  heard(sender: string, number: number, settled: boolean): Place {
    const known = this.#all.get(sender) ?? this.#meet(sender)
    if (number !== (settled ? known.last : known.last + 1)) this.miss()
    known.last = number
    known.silent = 0
    if (known.settled !== settled) {
      known.settled = settled
      if (settled) this.#open.delete(known)
      else this.#open.add(known)
    }
    return known.place
  }

  /** Something came of a process that gives no numbers. */
  heardUnnumbered(): void {
    if (this.#unnumbered === 0) this.#due = true
    this.#unnumbered = UNNUMBERED_ABOUT
  }

  /** A message is missing, or could not be read. */
  miss(): void {
    this.#due = true
    this.#events.hole()
  }

  /** Once a second. */
  tick(): void {
    for (const sender of this.#open) {
      sender.silent += 1
      if (sender.silent < SILENCE) continue
      this.#open.delete(sender)
      sender.settled = true
      this.miss()
    }
    if (this.#unnumbered > 0) {
      this.#unnumbered -= 1
      if (this.#sinceCompared >= UNNUMBERED_ROUND) this.#due = true
    }
    this.#sinceCompared += 1
    if (!this.#due || this.#sinceCompared < APART) return
    this.#due = false
    this.#sinceCompared = 0
    this.#events.compare()
  }

  #meet(sender: string): Sender {
    const met = { place: placeOf(sender), last: 0, settled: true, silent: 0 }
    if (this.#all.size >= MOST) this.#forgetOne()
    this.#all.set(sender, met)
    return met
  }

  #forgetOne(): void {
    let forgotten: [string, Sender] | undefined
    for (const entry of this.#all) {
      forgotten ??= entry
      if (!entry[1].settled) continue
      forgotten = entry
      break
    }
    if (forgotten === undefined) return
    this.#all.delete(forgotten[0])
    this.#open.delete(forgotten[1])
  }
}
