import { BinaryReader } from './binary-reader.ts'
import { bodyCodecs, decodeBody, type BodyCodec } from './body-codec.ts'
import { ProtocolError } from './errors.ts'
import { PROTOCOL_VERSION, type Frame } from './frames.ts'

/** What the next byte belongs to. */
type State = 'length' | 'version' | 'type' | 'body' | 'failed'

const LENGTH_BYTES = 4
/** Version and type: the bytes that the length counts besides the body. */
const HEAD_BYTES = 2
const NOTHING = new BinaryReader(new Uint8Array(0))

const codecs = new Map(bodyCodecs.map((codec) => [codec.id, codec]))

/**
 * Takes a stream of bytes in chunks of any size and gives the frames in it. Call `push`, then `next` until it returns
 * undefined; then at most the bytes of one unfinished frame are held, and never more memory than has come in, so that
 * a large announced length costs nothing by itself.
 *
 * Aliasing: a pushed chunk belongs to the decoder and must not be written to again. A decoded `bytes` value is a view of
 * the chunk when it fills at least half of the chunk's buffer, or of the buffer in which a frame that came in several
 * chunks was put together; else it is a copy, so that keeping a small payload does not keep a large chunk alive.
 */
export class FrameDecoder {
  /** Largest acceptable length of a frame, as its length field counts it. May change between two calls of `next`. */
  maxFrameBytes: number
  #state: State = 'length'
  /** Chunks not begun, oldest first; `#current` is the one being read. */
  readonly #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #current = NOTHING
  #lengthRead = 0
  #length = 0
  /** Set in the state `body`. */
  #codec!: BodyCodec
  /** The begin of a body that no single chunk holds; grows with what comes in. */
  #body = NOTHING.source
  #bodyRead = 0
  #failure: unknown

  constructor(maxFrameBytes: number) {
    this.maxFrameBytes = maxFrameBytes
  }

  /** Whether a frame was begun and not finished. Says something once `next` has returned undefined. */
  get midFrame(): boolean {
    return this.#lengthRead > 0
  }

  /** Bytes pushed that are not part of a frame returned yet. */
  get buffered(): number {
    const head = this.#state === 'body' ? HEAD_BYTES : this.#state === 'type' ? 1 : 0
    return this.#waitingBytes + this.#current.left + this.#lengthRead + head + this.#bodyRead
  }

  /** Bytes still to come of the frame that was begun; 0 before its length is known. */
  get missing(): number {
    if (this.#lengthRead < LENGTH_BYTES) return 0
    return Math.max(0, LENGTH_BYTES + this.#length - this.buffered)
  }

  /** Takes bytes; ignored after a failure. */
  push(chunk: Uint8Array): void {
    if (this.#state === 'failed' || chunk.length === 0) return
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
  }

  /**
   * The next whole frame, or undefined when more bytes are needed. Throws a ProtocolError, and the same one at every
   * later call: `frame_too_large` as soon as the length is read, `version_unsupported` and `frame_type_unknown` as soon as
   * their byte is, `frame_malformed` and `utf8_malformed`.
   */
  next(): Frame | undefined {
    if (this.#state === 'failed') throw this.#failure
    try {
      return this.#read()
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  #read(): Frame | undefined {
    while (this.#hasBytes()) {
      const frame = this.#step()
      if (frame !== undefined) return frame
    }
    return undefined
  }

  /** Moves on to a chunk with bytes left in it. */
  #hasBytes(): boolean {
    if (this.#current.left > 0) return true
    const chunk = this.#waiting.shift()
    this.#current = chunk === undefined ? NOTHING : new BinaryReader(chunk)
    this.#waitingBytes -= this.#current.left
    return chunk !== undefined
  }

  #step(): Frame | undefined {
    switch (this.#state) {
      case 'length':
        this.#readLength()
        return undefined
      case 'version':
        this.#readVersion()
        return undefined
      case 'type':
        this.#readType()
        // An empty body is complete already: the next byte belongs to another frame.
        return this.#length === HEAD_BYTES ? this.#readBody() : undefined
      default:
        return this.#readBody()
    }
  }

  #readLength(): void {
    this.#length = this.#length * 256 + this.#current.u8('the length')
    this.#lengthRead += 1
    if (this.#lengthRead < LENGTH_BYTES) return
    if (this.#length > this.maxFrameBytes) throw new ProtocolError('frame_too_large')
    if (this.#length < HEAD_BYTES) throw new ProtocolError('frame_malformed', 'a frame must have a version and a type')
    this.#state = 'version'
  }

  #readVersion(): void {
    if (this.#current.u8('the version') !== PROTOCOL_VERSION) throw new ProtocolError('version_unsupported')
    this.#state = 'type'
  }

  #readType(): void {
    const codec = codecs.get(this.#current.u8('the type'))
    if (codec === undefined) throw new ProtocolError('frame_type_unknown')
    this.#codec = codec
    this.#state = 'body'
  }

  #readBody(): Frame | undefined {
    const length = this.#length - HEAD_BYTES
    if (this.#bodyRead > 0 || this.#current.left < length) {
      return this.#collect(length) ? this.#finish(new BinaryReader(this.#body), length) : undefined
    }
    return this.#finish(this.#current, length)
  }

  /** Adds what the current chunk has of a body. Returns whether the body is whole. */
  #collect(length: number): boolean {
    const { source, at, left } = this.#current
    const read = Math.min(this.#bodyRead + left, length)
    if (read > this.#body.length) {
      // Doubling bounds the copying; the rest of the frame is not allocated before it comes.
      const larger = new Uint8Array(Math.min(length, Math.max(read, this.#body.length * 2)))
      larger.set(this.#body.subarray(0, this.#bodyRead))
      this.#body = larger
    }
    const count = read - this.#bodyRead
    this.#body.set(source.subarray(at, at + count), this.#bodyRead)
    this.#current.at += count
    this.#bodyRead = read
    return read === length
  }

  #finish(from: BinaryReader, length: number): Frame {
    const frame = decodeBody(this.#codec, from, from.at + length)
    this.#reset()
    return frame
  }

  #reset(): void {
    this.#state = 'length'
    this.#lengthRead = 0
    this.#length = 0
    this.#body = NOTHING.source
    this.#bodyRead = 0
  }

  #fail(error: unknown): void {
    this.#reset()
    this.#state = 'failed'
    this.#failure = error
    this.#waiting.length = 0
    this.#waitingBytes = 0
    this.#current = NOTHING
  }
}

/**
 * Decodes the bytes of exactly one whole frame; the aliasing rule of FrameDecoder holds. Throws the ProtocolErrors of
 * FrameDecoder, and `frame_malformed` when the frame is not whole or is followed by something.
 */
export function decodeBinary(bytes: Uint8Array): Frame {
  const decoder = new FrameDecoder(bytes.length)
  decoder.push(bytes)
  const frame = decoder.next()
  if (frame === undefined || decoder.buffered > 0)
    throw new ProtocolError('frame_malformed', 'expected one whole frame')
  return frame
}
