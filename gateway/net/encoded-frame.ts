import { encodeBinary } from '../../protocol/binary.ts'
import { decodeBinary } from '../../protocol/frame-decoder.ts'
import type { GatewayFrame } from '../../protocol/frames.ts'
import { encodeJson } from '../../protocol/json.ts'

/** A frame for many connections: encoded at most once for each codec, and only for those that are asked for. */
export class EncodedFrame {
  #frame: GatewayFrame | undefined
  #binary: Uint8Array | undefined
  #json: string | undefined

  private constructor(frame: GatewayFrame | undefined, binary: Uint8Array | undefined) {
    this.#frame = frame
    this.#binary = binary
  }

  static of(frame: GatewayFrame): EncodedFrame {
    return new EncodedFrame(frame, undefined)
  }

  /** Wraps the bytes of one whole frame that another broker encoded. */
  static fromBinary(bytes: Uint8Array): EncodedFrame {
    return new EncodedFrame(undefined, bytes)
  }

  /** About as many bytes as a connection is written. */
  get size(): number {
    if (this.#binary !== undefined) return this.#binary.length
    return this.#frame?.type === 'message' ? this.#frame.payload.length : 0
  }

  get binary(): Uint8Array {
    return (this.#binary ??= encodeBinary(this.#decoded()))
  }

  as(codec: 'binary' | 'json'): Uint8Array | string {
    return codec === 'binary' ? this.binary : (this.#json ??= encodeJson(this.#decoded()))
  }

  #decoded(): GatewayFrame {
    return (this.#frame ??= decodeBinary(this.#binary ?? new Uint8Array(0)) as GatewayFrame)
  }
}
