import { ProtocolError } from './errors.ts'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Takes big-endian values from `at` up to `end`. A value that would end behind `end` is `frame_malformed`; `path` names
 * the field in the message (`send.to`).
 */
export class BinaryReader {
  readonly source: Uint8Array
  readonly #view: DataView
  at = 0
  end: number

  constructor(source: Uint8Array) {
    this.source = source
    this.#view = new DataView(source.buffer, source.byteOffset, source.byteLength)
    this.end = source.byteLength
  }

  /** Bytes of the source that were not taken, be they before `end` or behind it. */
  get left(): number {
    return this.source.byteLength - this.at
  }

  u8(path: string): number {
    return this.#view.getUint8(this.#take(1, path))
  }

  u16(path: string): number {
    return this.#view.getUint16(this.#take(2, path))
  }

  u32(path: string): number {
    return this.#view.getUint32(this.#take(4, path))
  }

  u64(path: string): number {
    const at = this.#take(8, path)
    const high = this.#view.getUint32(at)
    if (high > 0x1f_ffff) throw new ProtocolError('frame_malformed', `${path} must be at most 2^53 - 1`)
    return high * 0x1_0000_0000 + this.#view.getUint32(at + 4)
  }

  string(path: string): string {
    const length = this.u16(path)
    const at = this.#take(length, path)
    try {
      return decoder.decode(this.source.subarray(at, at + length))
    } catch (cause) {
      throw new ProtocolError('utf8_malformed', `${path} is not valid UTF-8`, { cause })
    }
  }

  /**
   * A view when the value fills at least half of the buffer below it, else a copy: so a value that is kept never holds
   * more than twice its size in memory.
   */
  bytes(path: string): Uint8Array {
    const length = this.u32(path)
    const at = this.#take(length, path)
    const { buffer, byteOffset } = this.source
    const view = new Uint8Array(buffer, byteOffset + at, length)
    return length * 2 >= buffer.byteLength ? view : view.slice()
  }

  #take(count: number, path: string): number {
    const at = this.at
    if (count > this.end - at) throw new ProtocolError('frame_malformed', `the frame ends within ${path}`)
    this.at = at + count
    return at
  }
}
