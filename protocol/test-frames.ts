import * as fc from 'fast-check'
import type { FieldType, Frame } from './frames.ts'
import { buildFieldSpecs, frameFrom, frameSpecs, type FieldSpec, type FrameSpec } from './schema.ts'

const integers = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff, u64: Number.MAX_SAFE_INTEGER } as const
const text = fc.string({ unit: 'binary', maxLength: 40 })

function buildValues(type: FieldType): fc.Arbitrary<unknown> {
  if (typeof type === 'object') {
    if ('enum' in type) return fc.constantFrom(...type.enum)
    return fc.array(buildRecords(buildFieldSpecs(type.list)), { maxLength: 5 })
  }
  switch (type) {
    case 'bool':
      return fc.boolean()
    case 'string':
      return text
    case 'bytes':
      return fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        text.map((value) => new TextEncoder().encode(value)),
      )
    case 'strings':
      return fc.array(text, { maxLength: 5 })
    case 'u8s':
      return fc.array(fc.integer({ min: 0, max: integers.u8 }), { maxLength: 5 })
    default:
      return fc.oneof(fc.nat({ max: integers[type] }), fc.constantFrom(0, integers[type]))
  }
}

function buildRecords(fields: readonly FieldSpec[]): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(Object.fromEntries(fields.map(({ name, type }) => [name, buildValues(type)])), {
    noNullPrototype: true,
  })
}

/** For tests: frames of one type, with any values that it can carry. */
export function framesOf({ type, fields }: FrameSpec): fc.Arbitrary<Frame> {
  return buildRecords(fields).map((values) => frameFrom({ type, ...values }))
}

/** For tests: frames of every type. */
export const anyFrame: fc.Arbitrary<Frame> = fc.oneof(...frameSpecs.map(framesOf))
