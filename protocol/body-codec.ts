import type { BinaryReader } from './binary-reader.ts'
import type { BinaryWriter } from './binary-writer.ts'
import {
  buildBooleanCheck,
  buildBytesCheck,
  buildEnumCheck,
  buildIntegerCheck,
  buildListCheck,
  buildStringCheck,
  isRecord,
  type Fail,
} from './checks.ts'
import { ProtocolError } from './errors.ts'
import type { FieldType, Frame, FrameType } from './frames.ts'
import { buildFieldSpecs, frameFrom, frameSpecs, type FieldSpec, type Values } from './schema.ts'

type Write = (to: BinaryWriter, value: unknown) => void
type Read = (from: BinaryReader) => unknown

interface FieldCodec extends FieldSpec {
  /** Throws a RangeError for a value that the field cannot carry. */
  readonly write: Write
  readonly read: Read
}

/** The body of a frame type, its fields compiled to closures once. */
export interface BodyCodec {
  readonly id: number
  readonly type: FrameType
  readonly fields: readonly FieldCodec[]
}

const fail: Fail = (_code, message) => {
  throw new RangeError(message)
}

function buildWrite(type: FieldType, path: string): Write {
  if (typeof type === 'object') {
    if ('enum' in type) {
      const check = buildEnumCheck(type.enum, path, fail)
      return (to, value) => to.u8(type.enum.indexOf(check(value)))
    }
    return buildWriteRecords(type.list, path)
  }
  switch (type) {
    case 'bool': {
      const check = buildBooleanCheck(path, fail)
      return (to, value) => to.u8(check(value) ? 1 : 0)
    }
    case 'string': {
      const check = buildStringCheck(path, fail)
      return (to, value) => to.string(check(value))
    }
    case 'bytes': {
      const check = buildBytesCheck(path, fail)
      return (to, value) => to.bytes(check(value))
    }
    case 'strings':
      return buildWriteList(buildWrite('string', `${path}[]`), path)
    case 'u8s':
      return buildWriteList(buildWrite('u8', `${path}[]`), path)
    default: {
      const check = buildIntegerCheck(type, path, fail)
      return (to, value) => to[type](check(value))
    }
  }
}

function buildWriteList(writeItem: Write, path: string): Write {
  const check = buildListCheck((item) => item, path, fail)
  return (to, value) => {
    const items = check(value)
    to.u16(items.length)
    for (const item of items) writeItem(to, item)
  }
}

function buildWriteRecords(record: Record<string, FieldType>, path: string): Write {
  const fields = buildFieldSpecs(record).map(({ name, type }) => ({
    name,
    write: buildWrite(type, `${path}[].${name}`),
  }))
  return buildWriteList((to, value) => {
    const values = isRecord(value) ? value : fail('frame_malformed', `${path}[] must be an object`)
    for (const { name, write } of fields) write(to, values[name])
  }, path)
}

function buildRead(type: FieldType, path: string): Read {
  if (typeof type === 'object') {
    if ('enum' in type) return (from) => pick(type.enum, from.u8(path), path)
    const fields = buildFieldSpecs(type.list).map(({ name, type }) => ({
      name,
      read: buildRead(type, `${path}[].${name}`),
    }))
    return (from) =>
      readItems(from.u16(path), () => {
        const record: Values = {}
        for (const { name, read } of fields) record[name] = read(from)
        return record
      })
  }
  switch (type) {
    case 'bool':
      return (from) => pick([false, true], from.u8(path), path)
    case 'strings':
      return (from) => readItems(from.u16(path), () => from.string(path))
    case 'u8s':
      return (from) => readItems(from.u16(path), () => from.u8(path))
    default:
      return (from) => from[type](path)
  }
}

/** The array grows as items are found: a count alone reserves nothing. */
function readItems<Item>(count: number, read: () => Item): Item[] {
  const items: Item[] = []
  while (items.length < count) items.push(read())
  return items
}

function pick<Value>(values: readonly Value[], index: number, path: string): Value {
  const value = values[index]
  if (value === undefined) throw new ProtocolError('frame_malformed', `${path} must be below ${values.length}`)
  return value
}

function buildFieldCodec(frameType: string, field: FieldSpec): FieldCodec {
  const path = `${frameType}.${field.name}`
  return { ...field, write: buildWrite(field.type, path), read: buildRead(field.type, path) }
}

/** The codec of every frame type. */
export const bodyCodecs: readonly BodyCodec[] = frameSpecs.map(({ id, type, fields }) => ({
  id,
  type,
  fields: fields.map((field) => buildFieldCodec(type, field)),
}))

/**
 * Reads a body that ends at the position `end` of the reader, and leaves the reader there. Bytes behind the last field
 * are skipped: a later version may have appended fields. Throws `frame_malformed` and `utf8_malformed`.
 */
export function decodeBody(codec: BodyCodec, from: BinaryReader, end: number): Frame {
  const values: Values = { type: codec.type }
  from.end = end
  for (const field of codec.fields) {
    values[field.name] = field.optional && from.at === end ? field.default : field.read(from)
  }
  from.at = end
  from.end = from.source.byteLength
  return frameFrom(values)
}
