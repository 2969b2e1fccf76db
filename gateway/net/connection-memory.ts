import type { MemoryAccount, MemoryBudget } from '../memory/memory-budget.ts'
import { WRITE_BYTES } from '../memory/memory-costs.ts'
import type { Direction } from '../memory/memory-queue.ts'

/** What one connection holds of the gateway's memory: says how much, and charges only what changed. */
export class ConnectionMemory {
  readonly #account: MemoryAccount
  /** What the account was charged with. */
  #received = 0
  #waiting = 0
  /** Writes of which no end has been told. */
  #writes = 0

  constructor(budget: MemoryBudget) {
    this.#account = budget.openAccount()
  }

  /** Whether anything is held of what the client sent. */
  get holdsReceived(): boolean {
    return this.#received > 0
  }

  /** As of the account. */
  room(direction: Direction, turn?: boolean, held?: number): number {
    return this.#account.room(direction, turn, held)
  }

  /**
   * Takes room for what is read for the client.
   *
   * @param least bytes of the largest message; one such is given in its turn also when the share is smaller
   * @param bufferedBytes that wait for the client already
   * @returns bytes, at most `most`; 0 when there is no room for a message
   */
  reserve(least: number, most: number, turn: boolean, bufferedBytes: number): number {
    const one = bufferedBytes > 0 ? 0 : Math.min(least, this.room('out', turn, 0))
    const room = Math.max(this.room('out'), one)
    if (room < least) return 0
    const bytes = Math.min(Math.floor(room), most)
    this.#account.charge('reads', bytes)
    return bytes
  }

  /** Gives back what `reserve` took. */
  release(bytes: number): void {
    this.#account.charge('reads', -bytes)
  }

  /** Something was written; so much waits now. */
  wrote(bufferedBytes: number): void {
    this.#writes += 1
    this.#settleWaiting(bufferedBytes)
  }

  /** A write has left; so much waits now. */
  flushed(bufferedBytes: number): void {
    this.#writes -= 1
    this.#settleWaiting(bufferedBytes)
  }

  /** So much is held of what the client sent. */
  received(bytes: number): void {
    const more = bytes - this.#received
    // Before it is charged: that may stop this very connection.
    this.#received = bytes
    this.#account.charge('received', more)
  }

  /** Nothing waits any more. */
  ended(): void {
    this.#chargeWaiting(0)
  }

  #settleWaiting(bufferedBytes: number): void {
    const waiting = bufferedBytes === 0 ? 0 : bufferedBytes + this.#writes * WRITE_BYTES
    // Nothing waits, most of the time.
    if (waiting !== this.#waiting) this.#chargeWaiting(waiting)
  }

  #chargeWaiting(bytes: number): void {
    const more = bytes - this.#waiting
    this.#waiting = bytes
    this.#account.charge('clients', more)
  }
}
