/** Room for a few records; from Node's own pool. */
const FIRST_BYTES = 1_024
const NONE = Buffer.alloc(0)

/** Puts big-endian values one behind the other into a buffer that grows, and gives it away when it is taken. */
export class ByteWriter {
  #bytes = NONE
  #at = 0

  /** Bytes written since the last `take`. */
  get length(): number {
    return this.#at
  }

  u8(value: number): void {
    this.#reserve(1)
    this.#at = this.#bytes.writeUInt8(value, this.#at)
  }

  u32(value: number): void {
    this.#reserve(4)
    this.#at = this.#bytes.writeUInt32BE(value, this.#at)
  }

  u48(value: number): void {
    this.#reserve(6)
    this.#at = this.#bytes.writeUIntBE(value, this.#at, 6)
  }

  /** u16 length and UTF-8. */
  text(value: string): void {
    this.#reserve(2 + 3 * value.length)
    const written = this.#bytes.write(value, this.#at + 2, 'utf8')
    this.#bytes.writeUInt16BE(written, this.#at)
    this.#at += 2 + written
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  /** Overwrites the u32 at `at`. */
  patchU32(at: number, value: number): void {
    this.#bytes.writeUInt32BE(value, at)
  }

  patchU48(at: number, value: number): void {
    this.#bytes.writeUIntBE(value, at, 6)
  }

  /** Forgets what was written from `at` on. */
  truncate(at: number): void {
    this.#at = at
  }

  /** What was written, which belongs to the caller. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#at)
    this.#bytes = NONE
    this.#at = 0
    return taken
  }

  #reserve(count: number): void {
    const needed = this.#at + count
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2, FIRST_BYTES))
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = larger
  }
}
