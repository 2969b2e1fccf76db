/// <reference lib="esnext.typedarrays" />
import { buildBytesCheck, buildCheck, buildStringCheck, isRecord, type Fail } from './checks.ts'
import { ProtocolError } from './errors.ts'
import type { Frame } from './frames.ts'
import { frameFrom, frameSpecs, own, type FieldSpec, type Values } from './schema.ts'

interface FieldCodec {
  readonly name: string
  /** Takes the value of the field out of a parsed object. */
  readonly decode: (from: Values) => unknown
  /** Puts the value of the field into an object that will be printed. */
  readonly encode: (from: Values, to: Values) => void
}

const utf8Encoder = new TextEncoder()
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const failDecoding: Fail = (code, message) => {
  throw new ProtocolError(code, message)
}
const failEncoding: Fail = (_code, message) => {
  throw new RangeError(message)
}

function buildFieldCodec(frameType: string, { name, type, optional, default: missing }: FieldSpec): FieldCodec {
  const path = `${frameType}.${name}`
  if (type === 'bytes') return buildBytesCodec(name, path)
  const checkDecoded = buildCheck(type, path, failDecoding)
  const checkEncoded = buildCheck(type, path, failEncoding)
  return {
    name,
    decode(from) {
      const value = own(from, name)
      return value === undefined && optional ? missing : checkDecoded(value)
    },
    encode(from, to) {
      to[name] = checkEncoded(from[name])
    },
  }
}

/** Bytes are text under the name of the field where that is exact, else base64 under `<name>Base64`. */
function buildBytesCodec(name: string, path: string): FieldCodec {
  const base64Name = `${name}Base64`
  const checkText = buildStringCheck(path, failDecoding, Infinity)
  const checkBytes = buildBytesCheck(path, failEncoding)
  return {
    name,
    decode(from) {
      const text = own(from, name)
      const base64 = own(from, base64Name)
      if (base64 === undefined) return utf8Encoder.encode(checkText(text))
      if (text !== undefined) failDecoding('frame_malformed', `${path} and ${path}Base64 exclude each other`)
      return decodeBase64(base64, `${path}Base64`)
    },
    encode(from, to) {
      const bytes = checkBytes(from[name])
      const text = decodeText(bytes)
      if (text === undefined) to[base64Name] = bytes.toBase64()
      else to[name] = text
    },
  }
}

function decodeBase64(value: unknown, path: string): Uint8Array {
  try {
    if (typeof value === 'string') return Uint8Array.fromBase64(value)
  } catch {
    // The error of the engine could quote the payload.
  }
  return failDecoding('frame_malformed', `${path} must be base64`)
}

/** The text that encodes to exactly these bytes, or undefined. */
function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return utf8Decoder.decode(bytes)
  } catch {
    return undefined
  }
}

const codecs = new Map<string, readonly FieldCodec[]>(
  frameSpecs.map(({ type, fields }) => [type, fields.map((field) => buildFieldCodec(type, field))]),
)

/**
 * Encodes a frame as one JSON object. Throws a RangeError that names the field when a value does not fit; properties that
 * the frame's type does not have are not sent.
 */
export function encodeJson(frame: Frame): string {
  const codec = codecs.get(frame.type)
  if (codec === undefined) throw new RangeError('the frame has an unknown type')
  const values: Values = frame
  const json: Values = { type: frame.type }
  for (const field of codec) field.encode(values, json)
  return JSON.stringify(json)
}

/**
 * Decodes one text message. Unknown properties are ignored, and every decoded frame can be encoded in binary too.
 * Throws a ProtocolError: `json_malformed`, `frame_type_unknown`, `frame_malformed` or `utf8_malformed`; the message names
 * the field and never shows what it holds.
 */
export function decodeJson(text: string): Frame {
  const json = parseObject(text)
  const type = own(json, 'type')
  if (typeof type !== 'string') throw new ProtocolError('frame_malformed', 'type must be a string')
  const codec = codecs.get(type)
  if (codec === undefined) throw new ProtocolError('frame_type_unknown')
  const values: Values = { type }
  for (const field of codec) values[field.name] = field.decode(json)
  return frameFrom(values)
}

function parseObject(text: string): Values {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // No cause: the message of a SyntaxError quotes the text, which may hold a token.
    throw new ProtocolError('json_malformed')
  }
  if (!isRecord(value)) throw new ProtocolError('json_malformed')
  return value
}
