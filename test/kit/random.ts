/** Random choices that a seed repeats. */
export class Random {
  #state: number

  /** @param seed a whole number below 2^32 */
  constructor(seed: number) {
    this.#state = seed
  }

  /** A number in [0, 1), by Mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from `from` up to, not including, `below`. */
  between(from: number, below: number): number {
    return from + Math.floor(this.next() * (below - from))
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.between(0, items.length)]
    if (item === undefined) throw new RangeError('nothing to pick from')
    return item
  }
}
