import { adviceOf, codeNames, codes } from './codes.ts'
import { limits, type FieldType } from './frames.ts'
import { frameSpecs, type FrameSpec } from './schema.ts'

/** Where the body of a frame begins: behind length, version and type. */
const BODY_OFFSET = 6
const sizes = {
  u8: '1',
  u16: '2',
  u32: '4',
  u64: '8',
  bool: '1',
  string: '2 + n',
  bytes: '4 + n',
  strings: '2 + items',
  u8s: '2 + n',
} as const

const advices = {
  reconnect: 'reconnect, or repeat the request',
  'reconnect-elsewhere': 'reconnect to another gateway',
  'do-not-reconnect': 'change something first',
} as const

function describeType(type: FieldType): string {
  if (typeof type === 'string') return type
  if ('enum' in type) return `enum: ${type.enum.map((name, index) => `${index} ${name}`).join(', ')}`
  const fields = Object.entries(type.list).map(([name, field]) => `${name} ${describeType(field)}`)
  return `list of (${fields.join(', ')})`
}

function describeSize(type: FieldType): string {
  if (typeof type === 'string') return sizes[type]
  return 'enum' in type ? '1' : '2 + records'
}

function buildTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function formatId(id: number): string {
  return `0x${id.toString(16).padStart(2, '0')}`
}

function buildFrameTable({ id, from, fields }: FrameSpec): string {
  const title = `Type id \`${formatId(id)}\`, sent by ${from === 'both' ? 'both sides' : `the ${from}`}.`
  if (fields.length === 0) return `${title} The body is empty.`
  let offset: number | undefined = BODY_OFFSET
  const rows = fields.map(({ name, type, optional, default: missing }) => {
    const at = offset === undefined ? '' : String(offset)
    const size = describeSize(type)
    // Behind the first field of variable size no offset is fixed.
    offset = offset === undefined || size.includes('+') ? undefined : offset + Number(size)
    return [at, `\`${name}\``, describeType(type), size, optional ? `\`${JSON.stringify(missing)}\`` : '']
  })
  return `${title}\n\n${buildTable(['Offset', 'Field', 'Type', 'Bytes', 'Default'], rows)}`
}

/** The generated parts of docs/protocol.md, in Markdown: `frames`, `codes`, `limits`, and one for each frame type. */
export function buildDocTables(): ReadonlyMap<string, string> {
  const frameRows = frameSpecs.map(({ id, type, from }) => [
    `\`${formatId(id)}\``,
    `[${type}](#${type.toLowerCase()})`,
    from,
  ])
  const codeRows = codeNames.map((name) => {
    const { code, message } = codes[name]
    return [String(code), `\`${name}\``, message, advices[adviceOf(code)]]
  })
  const limitRows = Object.entries(limits).map(([name, value]) => [`\`${name}\``, String(value)])
  return new Map([
    ['frames', buildTable(['Id', 'Type', 'Sent by'], frameRows)],
    ['codes', buildTable(['Code', 'Name', 'Message', 'What to do'], codeRows)],
    ['limits', buildTable(['Limit', 'Value'], limitRows)],
    ...frameSpecs.map((spec) => [spec.type, buildFrameTable(spec)] as const),
  ])
}
