/** Checks that messages from one sender, numbered 1, 2, 3 …, come to their recipient once each and in order. */
export class Ledger {
  /** Messages that came again. */
  doubled = 0
  /** Messages that came after one with a higher number. */
  disordered = 0
  #highest = 0
  /** Below the highest, and not here. */
  readonly #missing = new Set<number>()

  receive(number: number): void {
    if (number > this.#highest) {
      for (let skipped = this.#highest + 1; skipped < number; skipped++) this.#missing.add(skipped)
      this.#highest = number
    } else if (this.#missing.delete(number)) {
      this.disordered += 1
    } else {
      this.doubled += 1
    }
  }

  /** How many of the messages 1 to `sent` have not come. */
  countLost(sent: number): number {
    return this.#missing.size + sent - this.#highest
  }
}
