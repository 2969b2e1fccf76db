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
  /** Where an answer goes. */
  readonly place: Place
  /** Its messages are for this process, and not for a former one of this broker, whose numbers they have. */
  readonly counted: boolean
  /** The number of its last message that came. */
  last: number
  /** It has told its last number, and sent nothing since. */
  settled: boolean
  silent: number
}

export interface SenderEvents {
  /** A message did not come: what it held is to be found in Redis. */
  hole(): void
  /** Time to compare heads: for holes, or because somebody sends without numbers. */
  compare(): void
}

/** The processes that write to this one, and what has come of each. */
export class Senders {
  readonly #bootId: string
  readonly #events: SenderEvents
  readonly #all = new Map<string, Sender>()
  /** Of which something came, and no last number since. */
  readonly #open = new Set<Sender>()
  #due = false
  #sinceCompared = APART
  #unnumbered = 0

  constructor(bootId: string, events: SenderEvents) {
    this.#bootId = bootId
    this.#events = events
  }

  /**
   * A message with this number came.
   *
   * @param route as in its head
   * @param settled it held nothing but the number of the last one
   * @returns where an answer goes
   */
  heard(route: string, number: number, settled: boolean): Place {
    const known = this.#all.get(route) ?? this.#meet(route)
    if (!known.counted) return known.place
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

  #meet(route: string): Sender {
    const [receiver, brokerId = '', incarnation = ''] = route.split('/')
    const counted = receiver === this.#bootId
    const met = { place: { brokerId, incarnation }, counted, last: 0, settled: true, silent: 0 }
    if (this.#all.size >= MOST) this.#forgetOne()
    this.#all.set(route, met)
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
