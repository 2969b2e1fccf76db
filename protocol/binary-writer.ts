/** Small enough to keep for good, large enough that most frames need no other. */
const SCRATCH_BYTES = 16_384
/** Characters: more are copied faster by the encoder. */
const SHORT = 64
const encoder = new TextEncoder()

/** Puts big-endian values one behind the other into a buffer that grows. Values must have been checked to fit. */
export class BinaryWriter {
  #bytes = new Uint8Array(SCRATCH_BYTES)
  #view = new DataView(this.#bytes.buffer)
  #at = 0

  /** Bytes written since the last `start`. */
  get length(): number {
    return this.#at
  }

  /** Begins anew; what an unfinished use left is dropped. */
  start(): void {
    this.#at = 0
  }

  u8(value: number): void {
    this.#reserve(1)
    this.#view.setUint8(this.#at, value)
    this.#at += 1
  }

  u16(value: number): void {
    this.#reserve(2)
    this.#view.setUint16(this.#at, value)
    this.#at += 2
  }

  u32(value: number): void {
    this.#reserve(4)
    this.#view.setUint32(this.#at, value)
    this.#at += 4
  }

  u64(value: number): void {
    this.u32(Math.floor(value / 0x1_0000_0000))
    this.u32(value % 0x1_0000_0000)
  }

  string(value: string): void {
    this.#reserve(2 + value.length * 3)
    const at = this.#at + 2
    const written = this.#writeAscii(value, at)
      ? value.length
      : encoder.encodeInto(value, this.#bytes.subarray(at)).written
    this.#view.setUint16(this.#at, written)
    this.#at = at + written
  }

  /** Writes what is short and has no other characters, without an object for it. @returns whether it did */
  #writeAscii(value: string, at: number): boolean {
    const { length } = value
    if (length > SHORT) return false
    for (let index = 0; index < length; index++) {
      const unit = value.charCodeAt(index)
      if (unit > 0x7f) return false
      this.#bytes[at + index] = unit
    }
    return true
  }

  bytes(value: Uint8Array): void {
    this.u32(value.length)
    this.#reserve(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  /** Overwrites the u32 at `at`. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value)
  }

  /** What was written, in a buffer that belongs to the caller. */
  finish(): Uint8Array {
    if (this.#bytes.length <= SCRATCH_BYTES) return this.#bytes.slice(0, this.#at)
    // A large buffer is given away as it is instead of being copied once more, and is not kept.
    const large = this.#bytes.subarray(0, this.#at)
    this.#use(new Uint8Array(SCRATCH_BYTES))
    return large
  }

  #reserve(count: number): void {
    const needed = this.#at + count
    if (needed <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#use(larger)
  }

  #use(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
  }
}
