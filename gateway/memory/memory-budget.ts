import { MemoryQueue, type Direction } from './memory-queue.ts'

/** What bytes are held for: what clients sent, what waits for clients, what waits for NATS, pages of inboxes. */
export type MemoryKind = 'received' | 'clients' | 'bus' | 'reads'

export interface MemoryEvents {
  /** Begins when three quarters are used; ends when less than half has been for a second. */
  pressure(under: boolean): void
  /** Nothing is left but the last part, or nothing at all: whoever now has no room stops reading from clients. */
  tight(): void
}

/**
 * An account may have this part of what is free, or of what is left of it: one alone gets a ninth of all, eight half of
 * it together, and however many there are, something stays free for those who hold little.
 */
const SHARE = 1 / 8
/** Of the limit: only for what is small, so that the light go on when many are heavy at once. */
const LAST_PART = 1 / 8
/** Bytes that count as small. */
const SMALL = 4_096
/** Of the limit: what may be held for clients. They may take long to read it, and sends must not wait for that. */
const OUT_PART = 1 / 2
const PRESSURE_BEGINS = 0.75
const PRESSURE_ENDS = 0.5
/** How long less has to be used before pressure counts as over: floods come in waves. */
const CALM_MS = 1_000
/** What one who is told that there is room may take before it is known. */
const TURN_BYTES = 131_072

/**
 * The bytes that a gateway may hold for others (I6), shared by accounts: one for each connection, one for the bus.
 *
 * The sharing is that of switches with shared memory (Choudhury and Hahne, "Dynamic queue length thresholds"): nobody has a
 * fixed part, and all have the same threshold, which falls as the memory fills. So the heaviest stop first, and the light
 * go on. Everything is O(1); who waits is told in the order in which it came.
 */
export class MemoryBudget {
  readonly limitBytes: number
  /** The limit without the last part, and what may be held for clients. */
  readonly #openBytes: number
  readonly #outBytes: number
  readonly #events: MemoryEvents
  readonly #usedBy: Record<MemoryKind, number> = { received: 0, clients: 0, bus: 0, reads: 0 }
  readonly #queues: Readonly<Record<Direction, MemoryQueue>>
  #used = 0
  #pressed = false
  #calming = false
  #tight = false
  #exhausted = false

  constructor(limitBytes: number, events: MemoryEvents) {
    this.limitBytes = limitBytes
    this.#openBytes = limitBytes * (1 - LAST_PART)
    this.#outBytes = limitBytes * OUT_PART
    this.#events = events
    const mostNow = () => this.free / TURN_BYTES
    this.#queues = { in: new MemoryQueue('in', mostNow), out: new MemoryQueue('out', mostNow) }
  }

  /** Bytes held by all. Somewhat more than the limit at times: what is held is not always known before. */
  get used(): number {
    return this.#used
  }

  get usedBy(): Readonly<Record<MemoryKind, number>> {
    return this.#usedBy
  }

  /** Bytes that nobody holds. */
  get free(): number {
    return Math.max(0, this.limitBytes - this.#used)
  }

  /** Bytes that are free without the last part, and for clients without what is kept for others. */
  open(direction: Direction): number {
    const open = this.#openBytes - this.#used
    return Math.max(0, direction === 'in' ? open : Math.min(open, this.#outBytes - this.#usedOut))
  }

  get underPressure(): boolean {
    return this.#pressed
  }

  /** Those who wait for room. */
  queue(direction: Direction): MemoryQueue {
    return this.#queues[direction]
  }

  /** `share` is the part of what is free that the account may have. */
  openAccount(share = SHARE): MemoryAccount {
    return new MemoryAccount(this, share)
  }

  /** For accounts: so many bytes more, or fewer, are held. */
  charge(kind: MemoryKind, bytes: number): void {
    this.#usedBy[kind] += bytes
    this.#used += bytes
    if (bytes > 0) this.#rose()
    else this.#fell()
  }

  get #usedOut(): number {
    return this.#usedBy.clients + this.#usedBy.reads
  }

  #uses(part: number): boolean {
    return this.#used >= this.limitBytes * part || this.#usedOut >= this.#outBytes * part
  }

  #rose(): void {
    if (!this.#pressed && this.#uses(PRESSURE_BEGINS)) {
      this.#pressed = true
      this.#events.pressure(true)
    }
    if (this.#used < this.#openBytes) return
    const exhausted = this.#used >= this.limitBytes
    if (exhausted ? this.#exhausted : this.#tight) return
    this.#tight = true
    this.#exhausted = exhausted
    this.#events.tight()
  }

  #fell(): void {
    if (this.#tight) {
      if (this.#used < this.limitBytes) this.#exhausted = false
      if (this.#used < this.#openBytes) this.#tight = false
    }
    if (this.#pressed && !this.#calming && !this.#uses(PRESSURE_ENDS)) {
      this.#calming = true
      setTimeout(() => this.#endPressure(), CALM_MS).unref()
    }
    this.#queues.in.tell()
    this.#queues.out.tell()
  }

  #endPressure(): void {
    this.#calming = false
    if (this.#uses(PRESSURE_ENDS)) return
    this.#pressed = false
    this.#events.pressure(false)
  }
}

/** What one connection, or the bus, holds. */
export class MemoryAccount {
  readonly #budget: MemoryBudget
  readonly #share: number
  #bytes = 0

  constructor(budget: MemoryBudget, share: number) {
    this.#budget = budget
    this.#share = share
  }

  get bytes(): number {
    return this.#bytes
  }

  /**
   * Bytes that it may take now; none when this is not more than 0. Who holds nothing gets one thing at a time, be it larger
   * than a share, in its turn: when it has waited, or nobody waits.
   *
   * @param held what it counts as holding
   */
  room(direction: Direction, turn = false, held = this.#bytes): number {
    const budget = this.#budget
    const open = budget.open(direction)
    const room = held === 0 && (turn || budget.queue(direction).isEmpty) ? open : this.#share * open - held
    // Who holds little goes on to the very end.
    return held < SMALL ? Math.max(room, Math.min(SMALL, budget.free) - held) : room
  }

  /** Takes bytes, whether or not there is room, or gives them back when negative. */
  charge(kind: MemoryKind, bytes: number): void {
    if (bytes === 0) return
    this.#bytes += bytes
    this.#budget.charge(kind, bytes)
  }
}
