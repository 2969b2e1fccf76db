/** The part of a frame's header that is always there, and the longest that it can be (RFC 6455, section 5.2). */
const LEAST_HEADER = 2
const LONGEST_HEADER = 14
const CLOSE_OPCODE = 8

/**
 * Follows the bytes of a client's WebSocket frames, to know how much of a message has come and how much is still to come:
 * `ws` tells only of whole messages. What breaks the protocol is left to `ws`, which ends the connection.
 */
export class WebSocketMeter {
  readonly #header = new Uint8Array(LONGEST_HEADER)
  #headerRead = 0
  #headerLength = LEAST_HEADER
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
        this.#header[this.#headerRead++] = chunk[at++] ?? 0
        if (this.#headerRead === LEAST_HEADER) this.#headerLength = lengthOfHeader(this.#header)
        if (this.#headerRead === this.#headerLength) this.#beginFrame()
      }
    }
  }

  #beginFrame(): void {
    const [first = 0, second = 0] = this.#header
    const opcode = first & 15
    this.#final = first >= 128
    this.#control = opcode >= CLOSE_OPCODE
    this.#left = lengthOfPayload(this.#header, second & 127)
    this.#headerRead = 0
    this.#headerLength = LEAST_HEADER
    if (this.#left === 0) this.#endFrame()
  }

  #endFrame(): void {
    if (this.#final && !this.#control) this.#message = 0
  }
}

function lengthOfHeader([, second = 0]: Uint8Array): number {
  const length = second & 127
  return LEAST_HEADER + (length === 127 ? 8 : length === 126 ? 2 : 0) + (second >= 128 ? 4 : 0)
}

function lengthOfPayload(header: Uint8Array, length: number): number {
  if (length < 126) return length
  let long = 0
  for (const byte of header.subarray(LEAST_HEADER, length === 126 ? 4 : 10)) long = long * 256 + byte
  return long
}
