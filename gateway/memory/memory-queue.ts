/** What room is waited for: to take more from clients, or to hold more for them. */
export type Direction = 'in' | 'out'

/** Who was refused, and is told once when there may be room again. It waits anew when it is refused again. */
export interface MemoryWaiter {
  /** Returns whether it holds nothing and was refused all the same: it then stays the first of those who wait. */
  roomAgain(direction: Direction): boolean
}

/** Waiters told in one turn of the event loop at most. */
const BATCH = 64

/** Those who wait for room, in the order in which they came. Told some in each turn, so that no turn is long. */
export class MemoryQueue {
  readonly #direction: Direction
  readonly #mostNow: () => number
  readonly #waiting = new Set<MemoryWaiter>()
  #first: MemoryWaiter | undefined
  /** Waiters still to be told because of the last release. */
  #toTell = 0
  #scheduled = false

  /** @param mostNow how many surely have room now */
  constructor(direction: Direction, mostNow: () => number) {
    this.#direction = direction
    this.#mostNow = mostNow
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0 && this.#first === undefined
  }

  has(waiter: MemoryWaiter): boolean {
    return waiter === this.#first || this.#waiting.has(waiter)
  }

  /** May be called again: who waits already keeps its place. */
  add(waiter: MemoryWaiter): void {
    if (waiter !== this.#first) this.#waiting.add(waiter)
  }

  delete(waiter: MemoryWaiter): void {
    this.#waiting.delete(waiter)
    if (waiter !== this.#first) return
    this.#first = undefined
    // Those behind it must not wait for a release that does not come.
    this.tell()
  }

  /** Something was given back: tells all that wait now, from the next turn on. */
  tell(): void {
    if (this.isEmpty) return
    this.#toTell = this.#waiting.size + (this.#first === undefined ? 0 : 1)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(tellSome, this)
  }

  /** For `tellSome`. */
  tellSome(): void {
    this.#scheduled = false
    const most = Math.min(BATCH, Math.max(1, this.#mostNow()))
    for (let told = 0; told < most && this.#toTell > 0; told++) {
      const waiter = this.#first ?? this.#waiting.values().next().value
      if (waiter === undefined) return
      this.#first = undefined
      this.#waiting.delete(waiter)
      this.#toTell -= 1
      if (!waiter.roomAgain(this.#direction)) continue
      this.#waiting.delete(waiter)
      this.#first = waiter
      return
    }
    if (this.#toTell > 0) this.#schedule()
  }
}

/** Not a method, so that no turn needs a closure. */
function tellSome(queue: MemoryQueue): void {
  queue.tellSome()
}
