/** Room for a few records; from Node's own pool. */
const FIRST_BYTES = 1_024
const MOST_EXPECTED = 16_384
/** Characters. */
const SHORT = 48
const NONE = Buffer.alloc(0)

/** Puts big-endian values one behind the other into a buffer that grows, and gives it away when it is taken. */
export class ByteWriter {
  #bytes = NONE
  #at = 0
  #expected = 0

  /** Bytes written since the last `take`. */
  get length(): number {
    return this.#at
  }

  u8(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#at] = value
    this.#at += 1
  }

  u16(value: number): void {
    this.u8(value >>> 8)
    this.u8(value)
  }

  u32(value: number): void {
    this.#reserve(4)
    this.patchU32(this.#at, value)
    this.#at += 4
  }

  u48(value: number): void {
    this.u16(value / 2 ** 32)
    this.u32(value)
  }

  /** u16 length and UTF-8. */
  text(value: string): void {
    this.#reserve(2 + 3 * value.length)
    const start = this.#at
    const written = this.#ascii(value) ? value.length : this.#bytes.write(value, start + 2, 'utf8')
    this.u16(written)
    this.#at = start + 2 + written
  }

  /** Copies what is short and has no other characters: less work than to ask for it. @returns whether it did */
  #ascii(value: string): boolean {
    const { length } = value
    if (length > SHORT) return false
    const bytes = this.#bytes
    const start = this.#at + 2
    for (let at = 0; at < length; at++) {
      const unit = value.charCodeAt(at)
      if (unit > 0x7f) return false
      bytes[start + at] = unit
    }
    return true
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  /** Overwrites the u32 at `at`. */
  patchU32(at: number, value: number): void {
    const bytes = this.#bytes
    bytes[at] = value >>> 24
    bytes[at + 1] = value >>> 16
    bytes[at + 2] = value >>> 8
    bytes[at + 3] = value
  }

  /** Overwrites the u48 at `at`. */
  patchU48(at: number, value: number): void {
    const high = value / 2 ** 32
    this.#bytes[at] = high >>> 8
    this.#bytes[at + 1] = high
    this.patchU32(at + 2, value)
  }

  /** Forgets what was written from `at` on. */
  truncate(at: number): void {
    this.#at = at
  }

  /** What was written, which belongs to the caller. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#at)
    // The next one may well be as long.
    this.#expected = Math.min(this.#at, MOST_EXPECTED)
    this.#bytes = NONE
    this.#at = 0
    return taken
  }

  #reserve(count: number): void {
    const needed = this.#at + count
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2, this.#expected, FIRST_BYTES))
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = larger
  }
}
