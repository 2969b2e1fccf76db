import type { Cursor } from './message.ts'

/** How far a stream has been handled without a hole, when messages may be finished in another order than handed out. */
export class Handled {
  #epoch: string
  #top: number
  /** Earlier names of the epoch, under which messages may still be pending. */
  readonly #former = new Set<string>()
  /** Handed out and not handled. A Set keeps the order of adding, so the first is the lowest. */
  readonly #pending = new Set<number>()

  constructor({ epoch, seq }: Cursor) {
    this.#epoch = epoch
    this.#top = seq
  }

  /** Messages handed out and not handled. */
  get pending(): number {
    return this.#pending.size
  }

  /** Everything up to here is handled, or was never to be had. */
  get position(): Cursor {
    const [first] = this.#pending
    return { epoch: this.#epoch, seq: first === undefined ? this.#top : first - 1 }
  }

  handOut(seq: number): void {
    this.#pending.add(seq)
    this.#top = seq
  }

  /** Returns whether it was pending: not when repeated, and not for a message of an epoch that is over. */
  finish(epoch: string, seq: number): boolean {
    return (epoch === this.#epoch || this.#former.has(epoch)) && this.#pending.delete(seq)
  }

  /** The stream goes on under another epoch, and all so far is part of it. */
  rename(epoch: string): void {
    if (this.#pending.size === 0) this.#former.clear()
    else this.#former.add(this.#epoch)
    this.#epoch = epoch
  }

  /** There is nothing up to `seq`; under a new epoch all before is over. */
  skip({ epoch, seq }: Cursor): void {
    if (epoch !== this.#epoch || seq < this.#top) {
      this.#pending.clear()
      this.#former.clear()
    }
    this.#epoch = epoch
    this.#top = seq
  }
}
