/** What bytes are held for: what clients sent, what waits for clients, what waits for NATS, pages of inboxes. */
export const memoryKinds = ['received', 'clients', 'bus', 'reads'] as const
export type MemoryKind = (typeof memoryKinds)[number]

export interface MemoryEvents {
  /** Begins when three quarters are used; ends when less than half has been for a second. */
  pressure(under: boolean): void
  /** Nothing is left but the last part, or nothing at all: whoever now has no room stops reading from clients. */
  tight(): void
}

/** Who was refused, and is told once when there may be room again. It waits anew when it is refused again. */
export interface MemoryWaiter {
  roomAgain(): void
}

/**
 * An account may have this part of what is free, or of what is left of it: one alone gets a ninth of all, eight half of
 * it together, and however many there are, something stays free for those who hold little.
 */
const SHARE = 1 / 8
const PRESSURE_BEGINS = 0.75
const PRESSURE_ENDS = 0.5
/** How long less has to be used before pressure counts as over: floods come in waves. */
const CALM_MS = 1_000
/** Waiters told in one turn of the event loop at most, and what each of them may take before it is known. */
const WAKE_BATCH = 64
const WAKE_BYTES = 131_072
/** Of the limit: only for what is small, so that the light go on when many are heavy at once. */
const LAST_PART = 1 / 8
/** Bytes that count as small. */
const SMALL = 4_096

/**
 * The bytes that a gateway may hold for others (I6), shared by accounts: one for each connection, one for the bus.
 *
 * The sharing is that of switches with shared memory (Choudhury and Hahne, "Dynamic queue length thresholds"): nobody has a
 * fixed part, and all have the same threshold, which falls as the memory fills. So the heaviest stop first, and the light
 * go on. Everything is O(1); who waits is told in the order in which it came, some in each turn.
 */
export class MemoryBudget {
  readonly limitBytes: number
  readonly #events: MemoryEvents
  readonly #usedBy: Record<MemoryKind, number> = { received: 0, clients: 0, bus: 0, reads: 0 }
  readonly #waiting = new Set<MemoryWaiter>()
  #used = 0
  #pressed = false
  #calming = false
  #tight = false
  #exhausted = false
  /** Waiters still to be told because of the last release. */
  #toWake = 0
  #waking = false

  constructor(limitBytes: number, events: MemoryEvents) {
    this.limitBytes = limitBytes
    this.#events = events
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

  /** Bytes that nobody holds, without the last part. */
  get open(): number {
    return Math.max(0, this.limitBytes * (1 - LAST_PART) - this.#used)
  }

  get anyWaits(): boolean {
    return this.#waiting.size > 0
  }

  get underPressure(): boolean {
    return this.#pressed
  }

  /** `share` is the part of what is free that the account may have. */
  openAccount(share = SHARE): MemoryAccount {
    return new MemoryAccount(this, share)
  }

  /** Waits for room. May be called again: who waits already keeps its place. */
  wait(waiter: MemoryWaiter): void {
    this.#waiting.add(waiter)
  }

  stopWaiting(waiter: MemoryWaiter): void {
    this.#waiting.delete(waiter)
  }

  /** For accounts: so many bytes more, or fewer, are held. */
  charge(kind: MemoryKind, bytes: number): void {
    this.#usedBy[kind] += bytes
    this.#used += bytes
    if (bytes > 0) this.#rose()
    else this.#fell()
  }

  #rose(): void {
    if (!this.#pressed && this.#used >= this.limitBytes * PRESSURE_BEGINS) {
      this.#pressed = true
      this.#events.pressure(true)
    }
    const exhausted = this.#used >= this.limitBytes
    if (exhausted ? this.#exhausted : this.#tight || this.open > 0) return
    this.#tight = true
    this.#exhausted = exhausted
    this.#events.tight()
  }

  #fell(): void {
    if (this.#used < this.limitBytes) this.#exhausted = false
    if (this.open > 0) this.#tight = false
    if (this.#pressed && !this.#calming && this.#calm) {
      this.#calming = true
      setTimeout(() => this.#endPressure(), CALM_MS).unref()
    }
    if (this.#waiting.size === 0) return
    this.#toWake = this.#waiting.size
    this.#wakeSoon()
  }

  get #calm(): boolean {
    return this.#used < this.limitBytes * PRESSURE_ENDS
  }

  #endPressure(): void {
    this.#calming = false
    if (!this.#calm) return
    this.#pressed = false
    this.#events.pressure(false)
  }

  #wakeSoon(): void {
    if (this.#waking) return
    this.#waking = true
    setImmediate(wake, this)
  }

  /** For `wake`: tells as many of those who wait as surely have room, the first first, and goes on in the next turn. */
  tellSome(): void {
    this.#waking = false
    const most = Math.min(WAKE_BATCH, Math.max(1, this.free / WAKE_BYTES))
    for (let told = 0; told < most && this.#toWake > 0; told++) {
      const [waiter] = this.#waiting
      if (waiter === undefined) return
      this.#waiting.delete(waiter)
      this.#toWake -= 1
      waiter.roomAgain()
    }
    if (this.#toWake > 0) this.#wakeSoon()
  }
}

/** Not a method, so that no turn needs a closure. */
function wake(budget: MemoryBudget): void {
  budget.tellSome()
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
  room(turn = false, held = this.#bytes): number {
    const { open, free, anyWaits } = this.#budget
    const room = held === 0 && (turn || !anyWaits) ? open : this.#share * open - held
    // Who holds little goes on to the very end.
    return held < SMALL ? Math.max(room, Math.min(SMALL, free) - held) : room
  }

  /** Takes bytes, whether or not there is room, or gives them back when negative. */
  charge(kind: MemoryKind, bytes: number): void {
    if (bytes === 0) return
    this.#bytes += bytes
    this.#budget.charge(kind, bytes)
  }
}
