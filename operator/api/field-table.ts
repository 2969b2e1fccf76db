import { walkFields, type Schema } from './crd-schema.ts'

/** Parts of a Pod, of which the CRD repeats the schema: their inside is documented by Kubernetes. */
const OPAQUE = /\.(affinity|tolerations|topologySpreadConstraints)(\[\])?\./

/** The reference of all fields below `part` (`spec` or `status`), as a Markdown table. */
export function buildFieldTable(schema: Schema, part: string): string {
  const rows = [...walkFields(schema)].flatMap(([path, field, required]) => {
    // What a list or map holds is named in its own row.
    const isContent = /(\[\]|\.\*)$/.test(path)
    if (!path.startsWith(`${part}.`) || isContent || OPAQUE.test(path)) return []
    const about = [field.description ?? '', ...describeRange(field)].join(' ').replaceAll('|', '\\|')
    return `| \`${path.slice(part.length + 1)}\` | ${describeType(field)} | ${describeDefault(field, required)} | ${escape(about)} |`
  })
  return ['| Field | Type | Default | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

/** The fields right below `part`, each with the names of those within it, as a Markdown table. */
export function buildFieldSummary(schema: Schema, part: string): string {
  const { properties = {}, required = [] } = schema.properties?.[part] ?? {}
  const rows = Object.entries(properties).map(([name, field]) => {
    const within = Object.keys(field.properties ?? {}).map((inner) => `\`${inner}\``)
    // The column has the default already.
    const about = (field.description ?? '').replace(/(?<=\.) The default is [^.]*\.$/, '')
    const value = describeDefault(field, required.includes(name))
    return `| \`${name}\` | ${value} | ${escape(about)} | ${within.join(', ')} |`
  })
  return ['| Field | Default | Meaning | Within it |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

function describeType(field: Schema): string {
  if (field['x-kubernetes-int-or-string'] === true) return 'integer or string'
  if (field.type === 'array') return `list of ${describeType(field.items ?? {})}`
  if (field.additionalProperties !== undefined) return `map of ${describeType(field.additionalProperties)}`
  if (field.enum !== undefined) return field.enum.map((value) => `\`${value}\``).join(', ')
  return field.type ?? ''
}

function describeDefault(field: Schema, required: boolean): string {
  if (required) return 'required'
  if (field.default === undefined || isEmptyObject(field.default)) return ''
  return `\`${JSON.stringify(field.default)}\``
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

function describeRange({ minimum, maximum }: Schema): string[] {
  if (minimum !== undefined && maximum !== undefined) return [`From ${minimum} to ${maximum}.`]
  return minimum === undefined ? [] : [`At least ${minimum}.`]
}

/** Names in angle brackets would be taken for HTML. */
function escape(text: string): string {
  return text.replaceAll('<', '\\<')
}
