import { frames, type Field, type Fields, type FieldType, type Frame, type FrameType } from './frames.ts'

/** A field in the order of the wire, its default taken apart. */
export interface FieldSpec {
  readonly name: string
  readonly type: FieldType
  readonly optional: boolean
  readonly default: unknown
}

/** A frame type as the codecs and the documentation walk it. */
export interface FrameSpec {
  readonly type: FrameType
  readonly id: number
  readonly from: 'client' | 'gateway' | 'both'
  readonly fields: readonly FieldSpec[]
}

/** A frame or a record as code sees it that walks the table instead of knowing the type. */
export type Values = Record<string, unknown>

function buildFieldSpec([name, field]: [string, Field]): FieldSpec {
  return typeof field === 'object' && 'default' in field
    ? { name, type: field.type, optional: true, default: field.default }
    : { name, type: field, optional: false, default: undefined }
}

/** The fields of a frame, or of a record in a list, in wire order. */
export function buildFieldSpecs(fields: Fields): readonly FieldSpec[] {
  return Object.entries(fields).map(buildFieldSpec)
}

function isFrameType(name: string): name is FrameType {
  return Object.hasOwn(frames, name)
}

/** Every frame type, in the order of the table in frames.ts. */
export const frameSpecs: readonly FrameSpec[] = Object.keys(frames)
  .filter(isFrameType)
  .map((type) => ({
    type,
    id: frames[type].id,
    from: frames[type].from,
    fields: buildFieldSpecs(frames[type].fields),
  }))

/** Only own properties count: `constructor` and the like must not be found in the prototype. */
export function own(values: Values, name: string): unknown {
  return Object.hasOwn(values, name) ? values[name] : undefined
}

/** Names as a Frame the values that a decoder read by the table of their `type`. */
export function frameFrom(values: Values): Frame {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the table that was walked is the one the type is made from
  return values as Frame
}
