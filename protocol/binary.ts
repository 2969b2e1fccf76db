import { BinaryWriter } from './binary-writer.ts'
import { bodyCodecs } from './body-codec.ts'
import { PROTOCOL_VERSION, type Frame } from './frames.ts'
import type { Values } from './schema.ts'

/** Bytes of the length in front of a frame, which does not count itself. */
const LENGTH_BYTES = 4
const MAX_FRAME_BYTES = 0xffff_ffff
const codecs = new Map(bodyCodecs.map((codec) => [codec.type, codec]))
const writer = new BinaryWriter()

/**
 * Encodes a whole frame with its header, in a buffer that belongs to the caller. Throws a RangeError that names the
 * field when a value does not fit; fields that the frame's type does not have are not sent.
 */
export function encodeBinary(frame: Frame): Uint8Array {
  const codec = codecs.get(frame.type)
  if (codec === undefined) throw new RangeError('the frame has an unknown type')
  const values: Values = frame
  writer.start()
  writer.u32(0)
  writer.u8(PROTOCOL_VERSION)
  writer.u8(codec.id)
  for (const field of codec.fields) field.write(writer, values[field.name])
  if (writer.length > MAX_FRAME_BYTES) throw new RangeError('the frame is too long for its length field')
  writer.patchU32(0, writer.length - LENGTH_BYTES)
  return writer.finish()
}
