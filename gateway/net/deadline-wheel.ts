/** What something is to be done about at a time. */
export interface Timed {
  /** Where it waits; of the wheel alone. */
  wheelSlot: number
  /** The time has come, or is near. Returns when to look again, by performance.now(); Infinity for never. */
  due(now: number): number
}

/** The slot of who does not wait. */
export const NOWHERE = -1

const TICK_MS = 100
const SLOTS = 256

/**
 * One timer for many: what is looked at again and again, such as whether a connection is idle, has no timer, no closure and no
 * entry in Node's lists of its own. It waits in the slot of its time, or in the last one, and is asked then. So a sign of life costs
 * nothing, but to note when it came. Late by a tick at the most, never early.
 */
export class DeadlineWheel {
  readonly #slots = Array.from({ length: SLOTS }, () => new Set<Timed>())
  #size = 0
  /** The tick that was handled last. */
  #tick = 0
  #timer: NodeJS.Timeout | undefined

  /** Asks `item` at that time. Who waits already does so no longer than that. */
  schedule(item: Timed, at: number): void {
    if (this.#timer === undefined) {
      this.#tick = currentTick()
      // It does not keep a process alive.
      this.#timer = setInterval(() => this.#turn(), TICK_MS).unref()
    }
    const slot = this.#slotOf(at)
    if (item.wheelSlot === slot) return
    if (item.wheelSlot !== NOWHERE) {
      if (this.#distance(item.wheelSlot) <= this.#distance(slot)) return
      this.remove(item)
    }
    this.#put(item, slot)
  }

  /** Asks no more. */
  remove(item: Timed): void {
    if (item.wheelSlot === NOWHERE) return
    this.#slots[item.wheelSlot]?.delete(item)
    item.wheelSlot = NOWHERE
    this.#size -= 1
  }

  #put(item: Timed, slot: number): void {
    this.#slots[slot]?.add(item)
    item.wheelSlot = slot
    this.#size += 1
  }

  #slotOf(at: number): number {
    const ticks = Math.ceil(at / TICK_MS) - this.#tick
    return (this.#tick + Math.min(Math.max(ticks, 1), SLOTS - 1)) % SLOTS
  }

  #distance(slot: number): number {
    return (slot - (this.#tick % SLOTS) + SLOTS) % SLOTS
  }

  #turn(): void {
    // More than one when the process stood still; then the whole wheel at the most.
    const until = currentTick()
    const from = Math.max(this.#tick, until - SLOTS)
    for (let tick = from + 1; tick <= until; tick++) {
      this.#tick = tick
      this.#ask(tick % SLOTS)
    }
    if (this.#size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #ask(slot: number): void {
    const items = this.#slots[slot]
    if (items === undefined || items.size === 0) return
    this.#slots[slot] = new Set()
    for (const item of items) {
      // One before it may have removed it: it is in no slot then, or in another.
      if (item.wheelSlot !== slot) continue
      const now = performance.now()
      this.#size -= 1
      item.wheelSlot = NOWHERE
      const again = item.due(now)
      if (again < Infinity && item.wheelSlot === NOWHERE) this.#put(item, this.#slotOf(again))
    }
  }
}

function currentTick(): number {
  return Math.floor(performance.now() / TICK_MS)
}
