/** The part of a frame's header that is always there (RFC 6455, section 5.2). */
const LEAST_HEADER = 2
const MASK = 4
const CLOSE_OPCODE = 8

/**
 * Follows the bytes of a client's WebSocket frames, to know how much of a message has come and how much is still to come:
 * `ws` tells only of whole messages. What breaks the protocol is left to `ws`, which ends the connection.
 */
export class WebSocketMeter {
  // Read byte by byte into numbers: a buffer for each connection at rest would cost more than all the rest.
  #headerRead = 0
  #headerLength = LEAST_HEADER
  #lengthBytes = 0
  #length = 0
  /** Bytes of the current frame's payload that are still to come. */
  #left = 0
  #final = true
  #control = false
  /** Bytes of the current message in frames before this one, and of this one. */
  #message = 0

  /** Bytes that have come of what is not whole yet, headers of frames in part. */
  get held(): number {
    return this.#message + this.#headerRead
  }

  /** Bytes still to come of the current frame; those of a frame that follows it are not known. */
  get missing(): number {
    return this.#left
  }

  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, chunk.length - at)
        at += count
        this.#left -= count
        if (!this.#control) this.#message += count
        if (this.#left === 0) this.#endFrame()
      } else {
        this.#readHeader(chunk[at++] ?? 0)
      }
    }
  }

  #readHeader(byte: number): void {
    const at = this.#headerRead++
    if (at === 0) {
      this.#final = byte >= 128
      this.#control = (byte & 15) >= CLOSE_OPCODE
    } else if (at === 1) {
      this.#length = byte & 127
      this.#lengthBytes = this.#length === 127 ? 8 : this.#length === 126 ? 2 : 0
      this.#headerLength = LEAST_HEADER + this.#lengthBytes + (byte >= 128 ? MASK : 0)
      if (this.#lengthBytes > 0) this.#length = 0
    } else if (at < LEAST_HEADER + this.#lengthBytes) this.#length = this.#length * 256 + byte
    if (this.#headerRead === this.#headerLength) this.#beginFrame()
  }

  #beginFrame(): void {
    this.#left = this.#length
    this.#headerRead = 0
    this.#headerLength = LEAST_HEADER
    if (this.#left === 0) this.#endFrame()
  }

  #endFrame(): void {
    if (this.#final && !this.#control) this.#message = 0
  }
}
