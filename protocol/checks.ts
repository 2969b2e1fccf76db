import type { CodeName } from './codes.ts'
import type { FieldType } from './frames.ts'
import { buildFieldSpecs, own, type Values } from './schema.ts'

/** Refuses a value: a decoder blames the other side with a ProtocolError, an encoder its caller with a RangeError. */
export type Fail = (code: CodeName, message: string) => never
/** Returns a value that the field can carry, or fails. The message names the field and never shows the value. */
type Check<Value> = (value: unknown) => Value

/** Strings, and the items of a list, are counted by a u16. */
const MAX_U16 = 0xffff
const integerLimits = { u8: 0xff, u16: MAX_U16, u32: 0xffff_ffff, u64: Number.MAX_SAFE_INTEGER } as const
const encoder = new TextEncoder()

export function buildIntegerCheck(type: keyof typeof integerLimits, path: string, fail: Fail): Check<number> {
  const max = integerLimits[type]
  return (value) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max
      ? value
      : fail('frame_malformed', `${path} must be an integer from 0 to ${max}`)
}

export function buildBooleanCheck(path: string, fail: Fail): Check<boolean> {
  return (value) => (typeof value === 'boolean' ? value : fail('frame_malformed', `${path} must be true or false`))
}

/** `maxBytes` of UTF-8; half a surrogate pair is `utf8_malformed`. */
export function buildStringCheck(path: string, fail: Fail, maxBytes = MAX_U16): Check<string> {
  return (value) => {
    if (typeof value !== 'string') return fail('frame_malformed', `${path} must be a string`)
    if (!value.isWellFormed()) return fail('utf8_malformed', `${path} holds half a surrogate pair`)
    // A UTF-16 unit takes at most three bytes, so that only long strings must be measured.
    if (value.length * 3 > maxBytes && encoder.encode(value).length > maxBytes) {
      return fail('frame_malformed', `${path} must have at most ${maxBytes} bytes`)
    }
    return value
  }
}

export function buildBytesCheck(path: string, fail: Fail): Check<Uint8Array> {
  return (value) => (value instanceof Uint8Array ? value : fail('frame_malformed', `${path} must be bytes`))
}

export function buildEnumCheck(names: readonly string[], path: string, fail: Fail): Check<string> {
  return (value) =>
    names.find((name) => name === value) ?? fail('frame_malformed', `${path} must be one of: ${names.join(', ')}`)
}

export function buildListCheck<Item>(item: Check<Item>, path: string, fail: Fail): Check<readonly Item[]> {
  return (value) => {
    if (!Array.isArray(value) || value.length > MAX_U16) {
      return fail('frame_malformed', `${path} must be a list of at most ${MAX_U16}`)
    }
    return value.map(item)
  }
}

/** The record returned has the fields of its table and no others. */
function buildRecordCheck(record: Record<string, FieldType>, path: string, fail: Fail): Check<Values> {
  const fields = buildFieldSpecs(record).map(
    ({ name, type }) => [name, buildCheck(type, `${path}.${name}`, fail)] as const,
  )
  return (value) => {
    if (!isRecord(value)) return fail('frame_malformed', `${path} must be an object`)
    const known: Values = {}
    for (const [name, check] of fields) known[name] = check(own(value, name))
    return known
  }
}

/** Whether a value is an object that is no list. */
export function isRecord(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The check of any field; `path` is its name in messages, such as `send.to`. */
export function buildCheck(type: FieldType, path: string, fail: Fail): Check<unknown> {
  if (typeof type === 'object') {
    if ('enum' in type) return buildEnumCheck(type.enum, path, fail)
    return buildListCheck(buildRecordCheck(type.list, `${path}[]`, fail), path, fail)
  }
  switch (type) {
    case 'bool':
      return buildBooleanCheck(path, fail)
    case 'string':
      return buildStringCheck(path, fail)
    case 'bytes':
      return buildBytesCheck(path, fail)
    case 'strings':
      return buildListCheck(buildStringCheck(`${path}[]`, fail), path, fail)
    case 'u8s':
      return buildListCheck(buildIntegerCheck('u8', `${path}[]`, fail), path, fail)
    default:
      return buildIntegerCheck(type, path, fail)
  }
}
